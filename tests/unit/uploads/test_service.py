"""Use cases of uploads on a real database: no byte is lost, none is left behind, and nobody gets at others' uploads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from homeport.blobs.memory import MemoryBlobWriter
from homeport.blobs.port import BlobError, BlobStore, StorageKey
from homeport.database import tables
from homeport.kernel import limits
from homeport.kernel.digests import Digest, digest_of
from homeport.kernel.errors import (
    DigestInvalid,
    EmptyUpload,
    HomeportError,
    LayerAlreadyExists,
    LayerPartTooSmall,
    LimitExceeded,
    RangeInvalid,
    RepositoryNotFound,
    TooLarge,
    UploadNotFound,
)
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository
from homeport.uploads import receiving, service
from homeport.uploads.hashing import digest_of_stored
from homeport.uploads.model import Blob, Upload
from homeport.uploads.receiving import Receiving
from homeport.uploads.service import Uploads
from tests.unit.repositories.registry import ACCOUNT, ALICE, BOB, Registry

DATA = b"the bytes of a layer"
DAY = limits.UPLOAD_AGE_SECONDS


def find(registry: Registry, repository: Repository, upload: Upload, principal: str = ALICE) -> Upload:
    return registry.run(service.find(registry.db, registry.place(repository, principal), upload.id))


def cancel(registry: Registry, upload: Upload) -> None:
    registry.run(service.cancel(registry.db, registry.uploads, registry.clock.now(), upload))


def sweep(registry: Registry) -> int:
    return registry.run(service.sweep(registry.db, registry.uploads, registry.clock.now()))


def content(registry: Registry, upload: Upload) -> bytes:
    """Everything that is stored for an open upload, acknowledged or not."""
    with closing(registry.blobs.staged(upload.storage_key)) as reader:
        return reader.read(0, reader.size)


def send_and_die(registry: Registry, upload: Upload, data: bytes) -> None:
    """Send bytes that are never acknowledged."""

    async def work() -> None:
        async with registry.uploads.receive(registry.db, upload) as received:
            received.write([data])

    registry.run(work())


@pytest.fixture(params=["the same process", "another process"])
def other(request: pytest.FixtureRequest, registry: Registry) -> Uploads:
    """The process that a second request comes to; both have one store and one database."""
    return registry.uploads if request.param == "the same process" else Uploads(registry.blobs)


def nothing_is_left(registry: Registry) -> bool:
    """No open upload, no tombstone, and no bytes but those of blobs."""
    stored = {row[2] for row in registry.rows(tables.blob)}
    return (
        registry.rows(tables.upload) == registry.rows(tables.tombstone) == []
        and registry.blobs.keys() == stored
    )


# Start, advance, finish


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_an_upload_in_pieces_becomes_a_blob(registry: Registry, algorithm: str) -> None:
    repository = registry.repository()
    digest = digest_of(DATA, algorithm)

    upload = registry.start(repository)
    upload = registry.append(upload, DATA[:3], DATA[3:7])
    upload = registry.append(upload, DATA[7:8])
    blob = registry.finish(repository, upload, digest, DATA[8:])

    assert blob == registry.run(service.blob(registry.db, repository, digest))
    assert (blob.digest, blob.size, registry.content(blob)) == (digest, len(DATA), DATA)
    assert nothing_is_left(registry)


def test_an_upload_without_any_byte_becomes_the_empty_blob(registry: Registry) -> None:
    repository = registry.repository()

    blob = registry.finish(repository, registry.start(repository), digest_of(b""))

    assert (blob.size, registry.content(blob)) == (0, b"")
    assert nothing_is_left(registry)


def test_the_progress_of_an_upload_is_durable_before_it_is_acknowledged(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.start(repository)

    acknowledged = registry.append(upload, DATA[:5])

    assert find(registry, repository, upload) == acknowledged
    assert (acknowledged.offset, acknowledged.version, acknowledged.parts) == (5, 1, 1)


def test_an_upload_survives_a_restart_in_the_middle(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), DATA[:5])

    registry.uploads = Uploads(registry.blobs)  # another process: no running hashes
    upload = registry.append(find(registry, repository, upload), DATA[5:9])
    blob = registry.finish(repository, upload, digest_of(DATA), DATA[9:])

    assert registry.content(blob) == DATA


def test_bytes_that_came_without_being_acknowledged_do_not_count(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), DATA[:5])
    send_and_die(registry, upload, b"lost in a crash")

    blob = registry.finish(repository, find(registry, repository, upload), digest_of(DATA), DATA[5:])

    assert registry.content(blob) == DATA


def test_other_bytes_than_announced_are_refused_and_removed(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), b"something")

    with pytest.raises(DigestInvalid) as refused:
        registry.finish(repository, upload, digest_of(DATA), b" else")

    assert digest_of(DATA) in refused.value.message
    assert digest_of(b"something else") in refused.value.message
    assert registry.run(service.blob(registry.db, repository, digest_of(b"something else"))) is None
    assert nothing_is_left(registry)
    with pytest.raises(UploadNotFound):
        find(registry, repository, upload)


def test_a_finished_upload_is_gone(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.start(repository)
    registry.finish(repository, upload, digest_of(DATA), DATA)

    with pytest.raises(UploadNotFound):
        find(registry, repository, upload)


def test_bytes_beyond_the_limit_of_a_layer_are_refused_before_they_are_written(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), b"1234")
    limited = Receiving(registry.blobs, registry.uploads.hashes, upload, limit=8)

    with limited:
        limited.write([b"56", b"78"])
        with pytest.raises(TooLarge):
            limited.write([b"9"])

    async def all_that_fits() -> tuple[int, int]:
        async with registry.uploads.receive(registry.db, upload) as received:
            received.write([b"5678"])
            return received.offset, received.size

    assert registry.run(all_that_fits()) == (8, 4)
    assert content(registry, upload) == b"12345678"


# Duplicates and mounts


def test_the_same_bytes_twice_are_kept_once(registry: Registry) -> None:
    first, second = registry.repository("first"), registry.repository("second")

    kept = registry.blob(first, DATA)
    again = registry.blob(first, DATA)
    elsewhere = registry.blob(second, DATA)

    assert kept.digest == again.digest == elsewhere.digest
    assert registry.blobs.keys() == {kept.storage_key}
    assert registry.run(service.blob(registry.db, second, Digest(kept.digest))) == kept
    assert nothing_is_left(registry)


def test_two_who_push_the_same_bytes_at_once_both_succeed(registry: Registry) -> None:
    one, two = registry.repository("one"), registry.repository("two")
    uploads = [(one, registry.start(one)), (two, registry.start(two, BOB)), (one, registry.start(one, BOB))]
    digest = digest_of(DATA)

    async def push(repository: Repository, upload: Upload) -> Blob:
        async with registry.uploads.receive(registry.db, upload) as received:
            received.write([DATA])
            place = registry.place(repository, upload.principal)
            now = registry.clock.now()
            return await service.finish(registry.db, registry.uploads, now, place, received, digest)

    async def race() -> list[Blob]:
        return await asyncio.gather(*(push(repository, upload) for repository, upload in uploads))

    blobs = registry.run(race())

    assert {blob.digest for blob in blobs} == {digest}
    assert len(registry.blobs.keys()) == 1
    for repository in (one, two):
        found = registry.run(service.blob(registry.db, repository, digest))
        assert found is not None
        assert registry.content(found) == DATA
    assert nothing_is_left(registry)


def test_a_blob_is_mounted_without_moving_a_byte(registry: Registry) -> None:
    source, target = registry.repository("source"), registry.repository("target")
    blob = registry.blob(source, DATA)
    now, digest = registry.clock.now(), digest_of(DATA)

    for _ in range(2):
        assert registry.run(service.mount(registry.db, now, target, source, digest)) == blob

    assert registry.run(service.blob(registry.db, target, digest)) == blob
    assert registry.blobs.keys() == {blob.storage_key}


def test_only_what_the_source_holds_is_mounted(registry: Registry) -> None:
    source, target, third = (registry.repository(name) for name in ("source", "target", "third"))
    registry.blob(third, DATA)
    now, digest = registry.clock.now(), digest_of(DATA)

    assert registry.run(service.mount(registry.db, now, target, source, digest)) is None
    assert registry.run(service.blob(registry.db, target, digest)) is None


def test_nothing_is_mounted_into_a_repository_that_is_gone(registry: Registry) -> None:
    source, target = registry.repository("source"), registry.repository("target")
    registry.blob(source, DATA)
    registry.run(repositories.delete(registry.db, registry.clock.now(), ACCOUNT, "target", force=False))

    with pytest.raises(RepositoryNotFound):
        registry.run(service.mount(registry.db, registry.clock.now(), target, source, digest_of(DATA)))


def test_a_blob_of_another_repository_does_not_exist_here(registry: Registry) -> None:
    registry.blob(registry.repository("other"), DATA)

    assert registry.run(service.blob(registry.db, registry.repository(), digest_of(DATA))) is None


# Who may continue an upload


def test_an_upload_belongs_to_its_principal_and_its_repository(registry: Registry) -> None:
    repository, other = registry.repository("a/b"), registry.repository("other")
    upload = registry.start(repository)

    for place, principal in ((repository, BOB), (other, ALICE)):
        with pytest.raises(UploadNotFound):
            find(registry, place, upload, principal)

    assert find(registry, repository, upload) == upload


def test_an_id_that_was_made_up_is_not_found_and_not_echoed_at_length(registry: Registry) -> None:
    repository = registry.repository()

    for text in ("", "../../etc/passwd", "'; DROP TABLE upload; --", "x" * 10_000):
        with pytest.raises(UploadNotFound) as refused:
            registry.run(service.find(registry.db, registry.place(repository), text))
        assert len(refused.value.message) < 300


def test_a_principal_has_a_limited_number_of_open_uploads(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UPLOADS_PER_PRINCIPAL", 3)
    one, two = registry.repository("one"), registry.repository("two")
    first, *_ = [registry.start(one), registry.start(one), registry.start(two)]

    for repository in (one, two):
        with pytest.raises(LimitExceeded):
            registry.start(repository)
    registry.start(one, BOB)
    cancel(registry, first)

    registry.start(two)


def test_no_upload_is_opened_in_a_repository_that_is_gone(registry: Registry) -> None:
    repository = registry.repository()
    registry.run(
        repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=False)
    )

    with pytest.raises(RepositoryNotFound):
        registry.start(repository)
    assert registry.rows(tables.upload) == []


# Two requests, one upload


@pytest.mark.parametrize("sent", [b"", DATA[:5]])
def test_while_one_request_writes_to_an_upload_a_second_is_refused_at_once_and_changes_nothing(
    registry: Registry, other: Uploads, sent: bytes
) -> None:
    upload = registry.start(registry.repository())
    if sent:
        upload = registry.append(upload, sent)

    async def overlapping() -> tuple[int, Upload]:
        async with registry.uploads.receive(registry.db, upload) as first:
            first.write([b"first"])
            with pytest.raises(RangeInvalid) as refused:
                async with other.receive(registry.db, upload):
                    pytest.fail("two requests have the upload")
            first.write([b" still"])
            return refused.value.offset, await service.advance(registry.db, registry.clock.now(), first)

    offset, acknowledged = registry.run(overlapping())

    assert offset == upload.offset
    assert content(registry, upload) == sent + b"first still"
    acknowledged = registry.append(acknowledged, b" going", node=other)
    assert content(registry, upload) == sent + b"first still going"
    assert acknowledged.offset == len(sent + b"first still going")


@pytest.mark.parametrize("sent", [b"", DATA[:5]])
@pytest.mark.parametrize("step", ["append", "finish"])
def test_a_request_that_looked_the_upload_up_before_another_advanced_it_is_refused_before_a_byte_changes(
    registry: Registry, other: Uploads, sent: bytes, step: str
) -> None:
    repository = registry.repository()
    seen = registry.start(repository)
    if sent:
        seen = registry.append(seen, sent)
    winner = registry.append(seen, DATA[len(sent) :])
    send_and_die(registry, winner, b" and what no request acknowledged")
    evil = b"evil" * 100
    steps: dict[str, Callable[[], object]] = {
        "append": lambda: registry.append(seen, evil, node=other),
        "finish": lambda: registry.finish(repository, seen, digest_of(sent + evil), evil, node=other),
    }

    with pytest.raises(RangeInvalid) as refused:
        steps[step]()

    assert refused.value.offset == len(sent)
    assert find(registry, repository, seen) == winner
    assert content(registry, seen) == DATA + b" and what no request acknowledged"
    assert registry.content(registry.finish(repository, winner, digest_of(DATA))) == DATA
    assert nothing_is_left(registry)


def test_a_request_that_looked_the_upload_up_before_an_empty_part_came_is_out_of_date_too(
    registry: Registry, other: Uploads
) -> None:
    seen = registry.append(registry.start(registry.repository()), DATA)
    winner = registry.append(seen)

    with pytest.raises(RangeInvalid):
        registry.append(seen, b"more", node=other)

    assert (winner.offset, winner.version) == (seen.offset, seen.version + 1)
    assert content(registry, seen) == DATA


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("sent", [b"", DATA[:5]])
@pytest.mark.parametrize("step", ["append", "finish"])
def test_a_request_that_looked_the_upload_up_before_another_finished_it_finds_nothing_and_leaves_nothing(
    registry: Registry, other: Uploads, known: bool, sent: bytes, step: str
) -> None:
    repository = registry.repository()
    if known:  # then the bytes that were sent again are removed at once
        registry.blob(repository, DATA)
    seen = registry.start(repository)
    if sent:
        seen = registry.append(seen, sent)
    blob = registry.finish(repository, seen, digest_of(DATA), DATA[len(sent) :])
    steps: dict[str, Callable[[], object]] = {
        "append": lambda: registry.append(seen, b"evil", node=other),
        "finish": lambda: registry.finish(repository, seen, digest_of(b"evil"), b"evil", node=other),
    }

    with pytest.raises(UploadNotFound):
        steps[step]()

    assert nothing_is_left(registry)
    kept = registry.run(service.blob(registry.db, repository, Digest(blob.digest)))
    assert kept is not None
    assert registry.content(kept) == DATA


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_no_other_process_can_put_bytes_under_a_digest_that_was_verified_for_others(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    repository = registry.repository()
    upload = registry.start(repository)
    close = MemoryBlobWriter.close

    def be_overtaken() -> None:
        """A request in another process writes as many bytes, if it gets the upload, and is cut off."""
        with contextlib.suppress(HomeportError, BlobError):
            evil = registry.blobs.writer(upload.storage_key, 0)
            evil.write([b"x" * len(DATA)])
            close(evil)

    def close_and_be_overtaken(writer: MemoryBlobWriter) -> None:
        close(writer)
        be_overtaken()

    def read_back_and_be_overtaken(blobs: BlobStore, key: StorageKey, algorithm: str) -> Digest:
        digest = digest_of_stored(blobs, key, algorithm)
        be_overtaken()
        return digest

    if algorithm == "sha256":  # known without reading back
        monkeypatch.setattr(MemoryBlobWriter, "close", close_and_be_overtaken)
    else:
        monkeypatch.setattr(receiving, "digest_of_stored", read_back_and_be_overtaken)

    with contextlib.suppress(HomeportError):  # to refuse is right too
        registry.finish(repository, upload, digest_of(DATA, algorithm), DATA)

    stored = registry.run(service.blob(registry.db, repository, digest_of(DATA, algorithm)))
    assert stored is None or registry.content(stored) == DATA


def test_a_refused_request_does_not_keep_the_upload_from_the_next(registry: Registry, other: Uploads) -> None:
    repository = registry.repository()
    seen = registry.start(repository)
    winner = registry.append(seen, DATA[:5])

    for _ in range(2):
        with pytest.raises(RangeInvalid):
            registry.append(seen, b"late", node=other)

    winner = registry.append(winner, DATA[5:9], node=other)
    blob = registry.finish(repository, winner, digest_of(DATA), DATA[9:])
    assert registry.content(blob) == DATA


def test_the_slower_of_two_nodes_neither_finishes_nor_cancels_what_the_faster_one_changed(
    registry: Registry,
) -> None:
    repository = registry.repository()
    seen = registry.start(repository)
    winner = registry.append(seen, DATA)

    with pytest.raises(RangeInvalid):
        registry.finish(repository, seen, digest_of(b"y"), b"y")
    cancel(registry, seen)

    assert find(registry, repository, seen) == winner
    assert content(registry, seen) == DATA


def test_a_request_that_gives_back_after_it_let_go_touches_nothing_that_another_has_acknowledged_since(
    registry: Registry,
) -> None:
    upload = registry.append(registry.start(registry.repository()), DATA[:5])
    other = Uploads(registry.blobs)

    async def overtaken() -> Upload:
        async with registry.uploads.receive(registry.db, upload) as received:
            received.write([b"cut off"])
            received.close()
            async with other.receive(registry.db, upload) as second:
                second.write([DATA[5:]])
                acknowledged = await service.advance(registry.db, registry.clock.now(), second)
            received.give_back()
            return acknowledged

    assert registry.run(overtaken()).offset == len(DATA)
    assert content(registry, upload) == DATA


def test_a_refused_request_has_the_upload_to_itself_until_its_bytes_are_gone(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = registry.append(registry.start(registry.repository()), DATA[:5])
    left: list[bytes] = []
    close = MemoryBlobWriter.close

    def look_and_close(writer: MemoryBlobWriter) -> None:
        left.append(content(registry, upload))
        close(writer)

    async def refused() -> None:
        async with registry.uploads.receive(registry.db, upload) as received:
            received.write([b"a body that was cut off"])
            monkeypatch.setattr(MemoryBlobWriter, "close", look_and_close)
            received.give_back()

    registry.run(refused())

    assert set(left) == {DATA[:5]}


def test_a_request_that_gives_back_what_it_received_takes_no_room_and_the_upload_goes_on(
    registry: Registry,
) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), DATA[:5])

    async def given_back() -> tuple[int, int]:
        async with registry.uploads.receive(registry.db, upload) as received:
            received.write([b"a body that ", b"was cut off"])
            received.give_back()
            return received.offset, received.size

    assert registry.run(given_back()) == (5, 0)
    assert content(registry, upload) == DATA[:5]
    assert find(registry, repository, upload) == upload
    assert registry.content(registry.finish(repository, upload, digest_of(DATA), DATA[5:])) == DATA
    assert nothing_is_left(registry)


# Cancel


def test_a_cancelled_upload_leaves_nothing(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), DATA)

    cancel(registry, upload)
    cancel(registry, upload)

    assert nothing_is_left(registry)
    with pytest.raises(UploadNotFound):
        find(registry, repository, upload)


@pytest.mark.parametrize("sent", [b"", DATA[:5]])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_an_upload_cancelled_while_it_is_being_finished_is_not_found_and_leaves_nothing(
    registry: Registry, sent: bytes, algorithm: str
) -> None:
    repository = registry.repository()
    upload = registry.start(repository)
    if sent:
        upload = registry.append(upload, sent)
    db, now, digest = registry.db, registry.clock.now(), digest_of(DATA, algorithm)

    async def cancelled_meanwhile() -> None:
        async with registry.uploads.receive(db, upload) as received:
            received.write([DATA[len(sent) :]])
            await service.cancel(db, registry.uploads, now, upload)
            await service.finish(db, registry.uploads, now, registry.place(repository), received, digest)

    with pytest.raises(UploadNotFound):
        registry.run(cancelled_meanwhile())

    assert nothing_is_left(registry)


@pytest.mark.parametrize("sent", [b"", DATA[:5]])
def test_an_upload_cancelled_while_bytes_come_acknowledges_none_of_them_and_leaves_nothing(
    registry: Registry, other: Uploads, sent: bytes
) -> None:
    upload = registry.start(registry.repository())
    if sent:
        upload = registry.append(upload, sent)
    db, now = registry.db, registry.clock.now()

    async def cancelled_meanwhile() -> None:
        async with registry.uploads.receive(db, upload) as received:
            received.write([b"before"])
            await service.cancel(db, other, now, upload)
            received.write([b" and after"])
            await service.advance(db, now, received)

    with pytest.raises(RangeInvalid):
        registry.run(cancelled_meanwhile())

    assert registry.blobs.keys() == set()
    sweep(registry)
    assert nothing_is_left(registry)


@pytest.mark.parametrize("sent", [b"", DATA[:5]])
@pytest.mark.parametrize("step", ["append", "finish"])
def test_an_upload_cancelled_before_the_next_bytes_come_is_refused_and_leaves_nothing(
    registry: Registry, other: Uploads, sent: bytes, step: str
) -> None:
    repository = registry.repository()
    upload = registry.start(repository)
    if sent:
        upload = registry.append(upload, sent)
    rest = DATA[len(sent) :]
    steps: dict[str, Callable[[], object]] = {
        "append": lambda: registry.append(upload, rest, node=other),
        "finish": lambda: registry.finish(repository, upload, digest_of(DATA), rest, node=other),
    }
    cancel(registry, upload)  # after this request has read the row

    with pytest.raises(UploadNotFound):
        steps[step]()

    assert nothing_is_left(registry)


def test_an_upload_is_not_finished_into_a_repository_that_went_away(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), DATA)
    registry.run(repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=True))
    registry.repository()  # the same name, another repository

    with pytest.raises(RepositoryNotFound):
        registry.finish(repository, upload, digest_of(DATA))
    sweep(registry)

    assert nothing_is_left(registry)
    assert registry.rows(tables.blob) == []


# Parts of the AWS API


def finish_parts(registry: Registry, repository: Repository, upload: Upload) -> Blob:
    return registry.run(
        service.finish_parts(
            registry.db,
            registry.uploads,
            registry.clock.now(),
            registry.place(repository),
            upload,
            digest_of(DATA),
        )
    )


@pytest.mark.parametrize("small", [(False, False), (False, True), (True,), (False,)])
def test_only_the_last_part_may_be_small(registry: Registry, small: tuple[bool, ...]) -> None:
    repository = registry.repository()
    upload = registry.start(repository)
    for number, is_small in enumerate(small):
        data = DATA[number * 5 :] if number == len(small) - 1 else DATA[number * 5 : number * 5 + 5]
        upload = registry.append(upload, data, small_part=is_small)

    assert registry.content(finish_parts(registry, repository, upload)) == DATA
    assert nothing_is_left(registry)


@pytest.mark.parametrize("small", [(True, False), (True, True), (False, True, False), (True, False, True)])
def test_a_small_part_before_the_last_is_told_at_the_end_and_the_upload_stays(
    registry: Registry, small: tuple[bool, ...]
) -> None:
    repository = registry.repository()
    upload = registry.start(repository)
    for is_small in small:
        upload = registry.append(upload, b"x", small_part=is_small)

    with pytest.raises(LayerPartTooSmall):
        finish_parts(registry, repository, upload)

    assert find(registry, repository, upload) == upload


def test_an_upload_without_parts_cannot_be_completed(registry: Registry) -> None:
    repository = registry.repository()

    with pytest.raises(EmptyUpload):
        finish_parts(registry, repository, registry.start(repository))


def test_a_layer_that_the_repository_has_already_ends_the_upload(registry: Registry) -> None:
    repository = registry.repository()
    registry.blob(repository, DATA)
    upload = registry.append(registry.start(repository), DATA)

    with pytest.raises(LayerAlreadyExists):
        finish_parts(registry, repository, upload)

    assert nothing_is_left(registry)


def test_a_failed_completion_does_not_block_the_upload(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), b"other bytes")

    with pytest.raises(DigestInvalid):
        finish_parts(registry, repository, upload)

    assert nothing_is_left(registry)


# Sweep


def test_only_uploads_without_progress_for_a_day_are_swept(registry: Registry) -> None:
    repository = registry.repository()
    idle = registry.append(registry.start(repository), b"idle")
    alive = registry.append(registry.start(repository), b"alive")
    registry.clock.advance(DAY - 1)
    alive = registry.append(alive, b" and well")
    assert sweep(registry) == 0

    registry.clock.advance(2)
    assert sweep(registry) == 1

    with pytest.raises(UploadNotFound):
        find(registry, repository, idle)
    assert find(registry, repository, alive) == alive
    assert registry.blobs.keys() == {alive.storage_key}
    registry.clock.advance(DAY)
    assert sweep(registry) == 1
    assert nothing_is_left(registry)


def test_a_sweep_takes_more_than_one_batch(registry: Registry) -> None:
    repository = registry.repository()
    for _ in range(105):
        registry.append(registry.start(repository), b"x")
    registry.clock.advance(DAY + 1)

    assert sweep(registry) == 105
    assert nothing_is_left(registry)


def test_uploads_of_a_deleted_repository_are_swept_without_waiting_a_day(registry: Registry) -> None:
    repository = registry.repository()
    registry.append(registry.start(repository), DATA)
    registry.run(repositories.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=True))

    assert sweep(registry) == 1
    assert nothing_is_left(registry)


def test_bytes_whose_removal_was_interrupted_are_removed_later(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = registry.append(registry.start(registry.repository()), DATA)

    def crash(key: StorageKey) -> None:
        raise OSError("the process died here")

    with monkeypatch.context() as patch:
        patch.setattr(registry.blobs, "discard", crash)
        with pytest.raises(OSError, match="died"):
            cancel(registry, upload)
    assert registry.blobs.keys() == {upload.storage_key}

    assert sweep(registry) == 1
    assert nothing_is_left(registry)


def test_a_duplicate_whose_removal_was_interrupted_is_removed_later(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = registry.repository()
    kept = registry.blob(repository, DATA)
    upload = registry.append(registry.start(repository), DATA)

    def crash(key: StorageKey) -> None:
        raise OSError("the process died here")

    with monkeypatch.context() as patch:
        patch.setattr(registry.blobs, "discard", crash)
        with pytest.raises(OSError, match="died"):
            registry.finish(repository, upload, digest_of(DATA))
    assert registry.blobs.keys() == {kept.storage_key, upload.storage_key}

    assert sweep(registry) == 1
    assert nothing_is_left(registry)
    assert registry.content(kept) == DATA


def test_a_stale_view_of_an_upload_cannot_be_made_up(registry: Registry) -> None:
    repository = registry.repository()
    upload = registry.append(registry.start(repository), DATA)

    forged = replace(upload, version=upload.version + 1)
    with pytest.raises(RangeInvalid):
        registry.append(forged, b"more")

    assert find(registry, repository, upload) == upload
