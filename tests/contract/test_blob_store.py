"""What every blob store promises. A new driver joins by adding one line to `DRIVERS`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.blobs.faulty import FaultyBlobStore
from homeport.blobs.files import FileBlobStore
from homeport.blobs.memory import MemoryBlobStore
from homeport.blobs.port import (
    BlobBusy,
    BlobDamaged,
    BlobError,
    BlobFinished,
    BlobMissing,
    BlobReader,
    BlobStore,
    Shard,
    StorageClass,
    StorageKey,
    all_shards,
    new_storage_key,
)
from homeport.blobs.s3 import S3BlobStore
from homeport.blobs.s3_place import S3Place
from homeport.blobs.tiers import TieredBlobStore
from homeport.kernel.clock import SystemClock
from homeport.kernel.errors import Unavailable
from tests.harness.ceph import ceph, needs_ceph
from tests.harness.s3 import S3Server, moto


def files(folder: Path) -> FileBlobStore:
    return FileBlobStore(folder, reserve_bytes=0)


DRIVERS: dict[str, Callable[[Path], BlobStore]] = {
    "memory": lambda folder: MemoryBlobStore(),
    "files": lambda folder: files(folder / "blobs"),
    "faulty memory": lambda folder: FaultyBlobStore(MemoryBlobStore()),
    "faulty files": lambda folder: FaultyBlobStore(files(folder / "blobs")),
    "tiers": lambda folder: TieredBlobStore(files(folder / "blobs"), files(folder / "archive")),
}
S3_SERVERS: dict[str, Callable[[], AbstractContextManager[S3Server]]] = {"s3 moto": moto, "s3 ceph": ceph}
_real = [pytest.mark.slow, pytest.mark.timeout(180), needs_ceph]
CASES = [
    *((driver, StorageClass.STANDARD) for driver in DRIVERS),
    *((driver, StorageClass.ARCHIVE) for driver in ("memory", "tiers")),
    ("s3 moto", StorageClass.STANDARD),
    pytest.param(("s3 ceph", StorageClass.STANDARD), marks=_real),
    pytest.param(("s3 ceph", StorageClass.ARCHIVE), marks=_real),
]


def s3(server: S3Server) -> S3BlobStore:
    place = S3Place.from_url(server.url(server.new_bucket(), "below/this"))
    return S3BlobStore(place, server.access_key_id, server.secret_access_key)


_keys_of = [StorageClass.STANDARD]
"""Which storage class the tests that run now are about."""


def new_key() -> StorageKey:
    return new_storage_key(_keys_of[-1])


def _named(case: object) -> str:
    return "-".join(map(str, case)).lower() if isinstance(case, tuple) else repr(case)


@pytest.fixture(scope="module", params=CASES, ids=_named)
def store(request: pytest.FixtureRequest) -> Iterator[BlobStore]:
    """One store for all tests of a driver: every test has its own keys, so nothing is shared."""
    driver, storage_class = request.param
    _keys_of.append(storage_class)
    with ExitStack() as held:
        if driver in S3_SERVERS:
            server = held.enter_context(S3_SERVERS[driver]())
            yield held.enter_context(closing(s3(server)))
        else:
            yield DRIVERS[driver](Path(held.enter_context(TemporaryDirectory())))
    _keys_of.pop()


def append(store: BlobStore, key: StorageKey, offset: int, *parts: bytes) -> int:
    with closing(store.writer(key, offset)) as writer:
        writer.write(parts)
        return writer.offset


def cut(store: BlobStore, key: StorageKey, offset: int) -> None:
    with closing(store.writer(key, offset)) as writer:
        writer.cut()


def content(reader: BlobReader) -> bytes:
    with closing(reader):
        return reader.read(0, reader.size)


def finished(store: BlobStore, blob: bytes) -> StorageKey:
    key = new_key()
    store.finish(key, append(store, key, 0, blob))
    return key


def test_a_pushed_blob_is_read_back_exactly(store: BlobStore) -> None:
    key = new_key()

    with closing(store.writer(key, 0)) as writer:
        assert writer.offset == 0
        assert writer.write([b"first ", memoryview(b"second ")]) == 13
        assert writer.write([b"third"]) == 5
        assert writer.offset == 18
    store.finish(key, 18)

    assert content(store.reader(key)) == b"first second third"


def test_an_upload_continues_in_a_later_request(store: BlobStore) -> None:
    key = new_key()
    offset = append(store, key, 0, b"one ")

    offset = append(store, key, offset, b"two")

    assert offset == 7
    assert content(store.staged(key)) == b"one two"


def test_bytes_beyond_the_acknowledged_offset_are_cut(store: BlobStore) -> None:
    key = new_key()
    append(store, key, 0, b"acknowledged", b" and then the node died")

    append(store, key, 12, b"!")
    store.finish(key, 13)

    assert content(store.reader(key)) == b"acknowledged!"


@pytest.mark.parametrize("offset", [0, 12, 17])
def test_opening_a_writer_changes_no_byte(store: BlobStore, offset: int) -> None:
    key = new_key()
    append(store, key, 0, b"acknowledged tail")

    with closing(store.writer(key, offset)) as writer:
        assert writer.offset == offset
        assert content(store.staged(key)) == b"acknowledged tail"
    store.finish(key, 17)

    assert content(store.reader(key)) == b"acknowledged tail"


@pytest.mark.parametrize("offset", [0, 1, 12, 16, 17])
def test_a_cut_removes_the_tail_and_nothing_else(store: BlobStore, offset: int) -> None:
    key = new_key()
    append(store, key, 0, b"acknowledged tail")

    with closing(store.writer(key, offset)) as writer:
        writer.cut()
        writer.cut()
        assert writer.offset == offset
        assert content(store.staged(key)) == b"acknowledged tail"[:offset]
        assert writer.write([b"!"]) == 1
        writer.cut()
    store.finish(key, offset + 1)

    assert content(store.reader(key)) == b"acknowledged tail"[:offset] + b"!"


@pytest.mark.parametrize("offset", [12, 14, 20])
def test_a_writer_can_take_back_what_it_wrote_without_letting_go_of_the_upload(
    store: BlobStore, offset: int
) -> None:
    key = new_key()
    append(store, key, 0, b"acknowledged")

    with closing(store.writer(key, 12)) as writer:
        writer.write([b" refused"])
        writer.cut(offset)

        assert writer.offset == offset
        assert content(store.staged(key)) == b"acknowledged refused"[:offset]
        for elsewhere in (-1, offset + 1):
            with pytest.raises(ValueError):
                writer.cut(elsewhere)
        with pytest.raises(BlobBusy):
            store.writer(key, 12)
        assert writer.write([b"!"]) == 1
    store.finish(key, offset + 1)

    assert content(store.reader(key)) == b"acknowledged refused"[:offset] + b"!"


def test_a_cut_is_enough_to_finish_at_the_acknowledged_offset(store: BlobStore) -> None:
    key = new_key()
    append(store, key, 0, b"acknowledged tail")

    with pytest.raises(BlobDamaged):
        store.finish(key, 12)
    cut(store, key, 12)
    store.finish(key, 12)

    assert content(store.reader(key)) == b"acknowledged"


def test_a_cut_of_an_upload_without_a_byte_leaves_an_upload_without_a_byte(store: BlobStore) -> None:
    key = new_key()

    cut(store, key, 0)
    store.finish(key, 0)

    assert content(store.reader(key)) == b""


def test_an_empty_write_cuts_like_any_other(store: BlobStore) -> None:
    key = new_key()
    append(store, key, 0, b"acknowledged tail")

    append(store, key, 12)

    assert content(store.staged(key)) == b"acknowledged"


def test_an_upload_that_starts_again_at_zero_forgets_the_earlier_bytes(store: BlobStore) -> None:
    key = new_key()
    append(store, key, 0, b"lost before it was acknowledged")

    append(store, key, 0, b"new")

    assert content(store.staged(key)) == b"new"


def test_an_upload_that_lost_acknowledged_bytes_is_not_continued(store: BlobStore) -> None:
    key = new_key()
    append(store, key, 0, b"12345")

    with pytest.raises(BlobDamaged):
        store.writer(key, 6)

    assert content(store.staged(key)) == b"12345"


def test_an_upload_that_was_never_begun_cannot_be_continued(store: BlobStore) -> None:
    with pytest.raises(BlobMissing):
        store.writer(new_key(), 1)


def test_two_requests_cannot_write_to_one_upload_at_once(store: BlobStore) -> None:
    key = new_key()
    first = store.writer(key, 0)
    first.write([b"first"])

    for offset in (0, 5):
        with pytest.raises(BlobBusy):
            store.writer(key, offset)
    with pytest.raises(Unavailable):
        store.finish(key, 5)
    first.write([b" still"])
    first.close()

    assert append(store, key, 11, b" going") == 17
    assert content(store.staged(key)) == b"first still going"


def test_a_staged_blob_cannot_be_pulled(store: BlobStore) -> None:
    key = new_key()
    append(store, key, 0, b"not yet verified")

    with pytest.raises(BlobMissing):
        store.reader(key)


def test_a_finished_blob_is_no_longer_staged(store: BlobStore) -> None:
    key = finished(store, b"done")

    with pytest.raises(BlobMissing):
        store.staged(key)


def test_finished_bytes_never_change(store: BlobStore) -> None:
    key = finished(store, b"done")

    for offset in (0, 4):
        with pytest.raises(BlobFinished):
            store.writer(key, offset)

    assert content(store.reader(key)) == b"done"


def test_finishing_again_after_a_lost_answer_succeeds(store: BlobStore) -> None:
    key = finished(store, b"done")

    store.finish(key, 4)

    assert content(store.reader(key)) == b"done"


@pytest.mark.parametrize("size", [0, 3, 5])
def test_a_blob_of_another_size_than_was_acknowledged_is_never_finished(store: BlobStore, size: int) -> None:
    key = new_key()
    append(store, key, 0, b"four")

    with pytest.raises(BlobDamaged):
        store.finish(key, size)

    with pytest.raises(BlobMissing):
        store.reader(key)
    assert content(store.staged(key)) == b"four"


def test_finishing_again_with_another_size_is_refused(store: BlobStore) -> None:
    key = finished(store, b"done")

    with pytest.raises(BlobDamaged):
        store.finish(key, 5)


def test_absent_bytes_are_reported_as_missing(store: BlobStore) -> None:
    key = new_key()

    for call in (lambda: store.reader(key), lambda: store.staged(key), lambda: store.finish(key, 0)):
        with pytest.raises(BlobMissing):
            call()


def test_an_empty_blob_can_be_stored(store: BlobStore) -> None:
    key = new_key()

    with closing(store.writer(key, 0)) as writer:
        assert writer.write([]) == 0
        assert writer.write([b"", memoryview(b"")]) == 0
    store.finish(key, 0)

    assert content(store.reader(key)) == b""


def test_a_write_of_thousands_of_small_parts_keeps_every_byte_in_order(store: BlobStore) -> None:
    key = new_key()
    parts = [number.to_bytes(3, "big")[: 1 + number % 3] for number in range(5000)]

    with closing(store.writer(key, 0)) as writer:
        assert writer.write(parts) == sum(map(len, parts))

    assert content(store.staged(key)) == b"".join(parts)


def test_a_part_of_wider_items_counts_in_bytes(store: BlobStore) -> None:
    key = new_key()
    wide = memoryview(bytes(range(16))).cast("I")

    with closing(store.writer(key, 0)) as writer:
        assert writer.write([wide]) == 16

    assert content(store.staged(key)) == bytes(range(16))


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 4, b"0123"),
        (4, 3, b"456"),
        (5, 10, b"56789"),
        (10, 1, b""),
        (99, 5, b""),
        (3, 0, b""),
        (9, 2**40, b"9"),
    ],
)
def test_a_range_is_short_only_at_the_end(
    store: BlobStore, offset: int, length: int, expected: bytes
) -> None:
    key = finished(store, b"0123456789")

    with closing(store.reader(key)) as reader:
        assert reader.size == 10
        assert reader.read(offset, length) == expected


def test_a_negative_range_or_offset_is_refused(store: BlobStore) -> None:
    key = finished(store, b"0123456789")

    with closing(store.reader(key)) as reader:
        for offset, length in ((-1, 1), (0, -1)):
            with pytest.raises(ValueError):
                reader.read(offset, length)
    with pytest.raises(ValueError):
        store.writer(new_key(), -1)


def test_a_descriptor_if_offered_names_the_same_bytes(store: BlobStore) -> None:
    key = finished(store, b"through the kernel")

    with closing(store.reader(key)) as reader:
        descriptor = reader.fileno()
        through = reader.read(0, 18) if descriptor is None else os.pread(descriptor, 99, 0)

    assert through == b"through the kernel"


def test_a_reader_of_an_upload_sees_the_length_at_its_opening(store: BlobStore) -> None:
    key = new_key()
    append(store, key, 0, b"early")

    with closing(store.staged(key)) as reader:
        append(store, key, 5, b" late")

        assert reader.size == 5
        assert reader.read(0, 100) == b"early"


def test_an_upload_cut_under_a_reader_is_never_read_as_if_it_ended_there(store: BlobStore) -> None:
    key = new_key()
    append(store, key, 0, b"0123456789")

    with closing(store.staged(key)) as reader:
        cut(store, key, 4)

        with pytest.raises(BlobDamaged):
            reader.read(0, 10)


def test_what_is_closed_cannot_be_used_and_closing_twice_is_harmless(store: BlobStore) -> None:
    key = new_key()
    writer = store.writer(key, 0)
    writer.close()
    writer.close()
    store.finish(key, 0)
    reader = store.reader(key)
    reader.close()
    reader.close()

    for use in (writer.cut, lambda: writer.write([b"x"]), lambda: reader.read(0, 1), reader.fileno):
        with pytest.raises(ValueError):
            use()


def test_a_discarded_blob_is_gone_whether_staged_or_finished(store: BlobStore) -> None:
    staged, done = new_key(), finished(store, b"done")
    append(store, staged, 0, b"staged")

    store.discard(staged)
    store.discard(done)

    for call in (lambda: store.staged(staged), lambda: store.finish(staged, 6), lambda: store.reader(done)):
        with pytest.raises(BlobMissing):
            call()


def test_discarding_what_is_absent_is_silent(store: BlobStore) -> None:
    key = finished(store, b"done")
    store.discard(key)

    store.discard(key)
    store.discard(new_key())


def test_an_upload_discarded_while_it_is_written_can_never_be_finished(store: BlobStore) -> None:
    key = new_key()
    writer = store.writer(key, 0)
    writer.write([b"half"])

    store.discard(key)
    try:
        writer.write([b" more"])
    except (BlobError, Unavailable):
        pass  # a driver may notice at once
    finally:
        writer.close()

    with pytest.raises(BlobMissing):
        store.finish(key, 9)
    with pytest.raises(BlobMissing):
        store.reader(key)


@pytest.mark.parametrize(
    "text",
    [
        "data/../x",
        "data/../../etc/passwd",
        "/etc/passwd",
        "",
        "data/00/00000000-0000-4000-8000-000000000000\n",
        "data/01/00000000-0000-4000-8000-000000000000",
        "data/AA/AAAAAAAA-0000-4000-8000-000000000000",
        "staging/00/00000000-0000-4000-8000-000000000000",
        "archive/01/00000000-0000-4000-8000-000000000000",
        "archive/../data/00/00000000-0000-4000-8000-000000000000",
        "data/00/00000000-0000-4000-8000-000000000000/x",
        "data/00/00000000-0000-4000-8000-00000000000\0",
    ],
)
def test_a_name_that_is_not_a_storage_key_reaches_no_bytes(store: BlobStore, text: str) -> None:
    key = cast(StorageKey, text)

    for call in (
        lambda: store.writer(key, 0),
        lambda: store.staged(key),
        lambda: store.finish(key, 0),
        lambda: store.reader(key),
        lambda: store.discard(key),
    ):
        with pytest.raises(ValueError):
            call()


def listing(store: BlobStore, *keys: StorageKey) -> list[tuple[StorageKey, int, bool]]:
    """What a store lists about some keys, each once."""
    shards = {shard_of(key) for key in keys}
    found = [each for shard in shards for each in store.listed(shard)]
    return sorted({(each.key, each.size, each.finished) for each in found if each.key in keys})


def shard_of(key: StorageKey) -> Shard:
    return Shard(key.removesuffix(key.name))


def test_staged_and_finished_objects_are_listed_with_their_sizes_and_discarded_ones_are_not(
    store: BlobStore,
) -> None:
    staged, done, gone = new_key(), finished(store, b"finished"), finished(store, b"gone")
    append(store, staged, 0, b"staged")
    store.discard(gone)

    found = listing(store, staged, done, gone)

    assert found == sorted([(staged, 6, False), (done, 8, True)])


def test_every_object_is_in_exactly_one_shard(store: BlobStore) -> None:
    keys = [finished(store, b"bytes") for _ in range(5)]

    found = [
        each.key
        for shard in all_shards()
        if shard.storage_class is _keys_of[-1]
        for each in store.listed(shard)
        if each.key in keys
    ]

    assert sorted(found) == sorted(keys)


def test_a_listing_says_when_an_object_was_changed(store: BlobStore) -> None:
    before = SystemClock().now() - timedelta(seconds=5)
    key = finished(store, b"new")

    (found,) = [each for each in store.listed(shard_of(key)) if each.key == key]

    assert before <= found.changed_at <= SystemClock().now() + timedelta(seconds=5)


@pytest.mark.parametrize("text", ["", "data/", "data/ab", "data/AB/", "data/../", "other/ab/", "data/ab/\n"])
def test_what_is_no_shard_is_not_listed(store: BlobStore, text: str) -> None:
    with pytest.raises(ValueError):
        list(store.listed(cast("Shard", text)))


def test_a_store_with_room_is_ready(store: BlobStore) -> None:
    store.check()


def test_many_uploads_at_once_do_not_mix(store: BlobStore) -> None:
    keys = [new_key() for _ in range(8)]
    blobs = [bytes([number]) * 100_000 for number in range(8)]
    failures: list[BaseException] = []

    def push(key: StorageKey, blob: bytes) -> None:
        try:
            for offset in range(0, len(blob), 10_000):
                append(store, key, offset, blob[offset : offset + 10_000])
            store.finish(key, len(blob))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=push, args=pair) for pair in zip(keys, blobs, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert [content(store.reader(key)) for key in keys] == blobs


@settings(deadline=None, max_examples=40)  # for each store; a flush takes as long as the disk likes
@given(
    requests=st.lists(st.lists(st.binary(max_size=40), max_size=6), max_size=6),
    tails=st.lists(st.binary(max_size=20), max_size=6),
    ranges=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=4),
)
def test_however_a_blob_is_split_and_interrupted_the_same_bytes_come_back(
    store: BlobStore, requests: list[list[bytes]], tails: list[bytes], ranges: list[tuple[int, int]]
) -> None:
    key = new_key()
    expected = b""

    for number, parts in enumerate(requests):
        acknowledged = append(store, key, len(expected), *parts)
        expected += b"".join(parts)
        assert acknowledged == len(expected)
        if number < len(tails):  # bytes that arrived but were never acknowledged
            append(store, key, acknowledged, tails[number])
    cut(store, key, len(expected))
    store.finish(key, len(expected))

    with closing(store.reader(key)) as reader:
        assert reader.size == len(expected)
        assert reader.read(0, reader.size) == expected
        for offset, length in ranges:
            assert reader.read(offset, length) == expected[offset : offset + length]
    store.discard(key)
