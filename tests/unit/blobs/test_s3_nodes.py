"""Several nodes on one bucket: whoever's bytes are acknowledged are the object's, and nobody else's ever are."""

from __future__ import annotations

import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import pytest

from homeport.blobs.port import (
    BlobDamaged,
    BlobError,
    BlobFinished,
    BlobMissing,
    BlobSealed,
    BlobStore,
    StorageKey,
    new_storage_key,
)
from homeport.blobs.s3 import S3BlobStore
from homeport.blobs.s3_place import S3Place
from homeport.blobs.s3_writer import MIB, S3BlobWriter, composite, family, part_bytes, sibling
from homeport.kernel.errors import Unavailable
from homeport.kernel.limits import LAYER_BYTES
from tests.harness.ceph import ceph, needs_ceph
from tests.harness.s3 import S3Server, moto

RANDOM = random.Random(7)
BIG = RANDOM.randbytes(21 * MIB)
OTHER = RANDOM.randbytes(21 * MIB)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(moto, id="moto"),
        pytest.param(ceph, id="ceph", marks=[pytest.mark.slow, pytest.mark.timeout(180), needs_ceph]),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with request.param() as running:
        yield running


@pytest.fixture(scope="module")
def nodes(server: S3Server) -> Iterator[list[S3BlobStore]]:
    """Three nodes that share nothing but the bucket; every test has keys of its own."""
    place = S3Place.from_url(server.url(server.new_bucket()))
    started = [S3BlobStore(place, server.access_key_id, server.secret_access_key) for _ in range(3)]
    yield started
    for node in started:
        node.close()


def push(node: S3BlobStore, key: StorageKey, offset: int, state: str, content: bytes) -> str:
    """One request that appends `content`; return the state to record."""
    with closing(node.writer(key, offset, state)) as writer:
        writer.write([content])
        return writer.save()


def content(node: BlobStore, key: StorageKey) -> bytes:
    with closing(node.reader(key)) as reader:
        return reader.read(0, reader.size)


def left_of(node: S3BlobStore, key: StorageKey) -> list[str]:
    """The names of everything that a bucket holds of an upload: objects, states, unfinished objects."""
    answer = node.bucket._writes.list_multipart_uploads(Bucket=node._place.bucket)
    found = [each["Key"] for each in answer.get("Uploads", [])]
    found += [each.name for folder in ("data", "staging") for each in node.bucket.listed(folder)]
    return [name for name in found if family(key) in name]


@pytest.mark.parametrize("step", [1_000_000, 5 * MIB, 7 * MIB, 20 * MIB])
def test_each_part_of_an_upload_may_come_to_another_node(nodes: list[S3BlobStore], step: int) -> None:
    key, state = new_storage_key(), ""

    for number, at in enumerate(range(0, len(BIG), step)):
        state = push(nodes[number % 3], key, at, state, BIG[at : at + step])
    with closing(nodes[1].writer(key, len(BIG), state)) as writer:
        finished = writer.finish(len(BIG))

    assert finished.proven
    assert content(nodes[2], finished.key) == BIG


def test_a_node_that_died_in_the_middle_leaves_nothing_in_what_another_one_goes_on_with(
    nodes: list[S3BlobStore],
) -> None:
    key = new_storage_key()
    state = push(nodes[0], key, 0, "", BIG[: 9 * MIB])
    dead = nodes[0].writer(key, 9 * MIB, state)
    dead.write([OTHER[: 9 * MIB]])  # never acknowledged, never closed
    dead._settle()  # the dead send nothing later; for those who do see the next test

    state = push(nodes[1], key, 9 * MIB, state, BIG[9 * MIB :])
    with closing(nodes[1].writer(key, len(BIG), state)) as writer:
        finished = writer.finish(len(BIG))

    assert content(nodes[2], finished.key) == BIG


def finish_as(writer: S3BlobWriter, size: int) -> StorageKey | None:
    """Finish; return the key where this surely made an object of the writer's bytes, None where it is not sure."""
    try:
        finished = writer.finish(size)
    except (BlobError, Unavailable):
        return None
    return finished.key if finished.proven else None


@pytest.mark.parametrize("acknowledged", [0, 1 * MIB, 9 * MIB])
@pytest.mark.parametrize("rest", [1 * MIB, 12 * MIB])
@pytest.mark.parametrize("first", [0, 1])
def test_of_two_nodes_that_write_at_once_neither_gets_bytes_of_the_other(
    nodes: list[S3BlobStore], acknowledged: int, rest: int, first: int
) -> None:
    key = new_storage_key()
    state = push(nodes[2], key, 0, "", BIG[:acknowledged]) if acknowledged else ""
    size = acknowledged + rest
    wanted = [BIG[:size], BIG[:acknowledged] + OTHER[:rest]]
    writers = [nodes[number].writer(key, acknowledged, state) for number in (0, 1)]

    for at in range(0, rest, MIB):
        for writer, whole in zip(writers, wanted, strict=True):
            writer.write([whole[acknowledged + at : acknowledged + at + MIB]])
    keys = {number: finish_as(writers[number], size) for number in (first, 1 - first)}

    sure = {number: found for number, found in keys.items() if found is not None}
    assert len(set(sure.values())) == len(sure)
    for number, found in sure.items():
        assert content(nodes[2], found) == wanted[number]
    for writer in writers:
        writer.close()


def test_a_slow_node_cannot_change_what_another_one_has_finished(nodes: list[S3BlobStore]) -> None:
    key = new_storage_key()
    slow, fast = nodes[0].writer(key, 0, ""), nodes[1].writer(key, 0, "")
    slow.write([b"slow"])
    fast.write([b"fast"])

    finished = fast.finish(4)
    late = slow.finish(4)

    assert content(nodes[2], finished.key) == b"fast"
    assert content(nodes[2], late.key) == b"slow"


def test_a_completion_whose_answer_was_lost_is_no_proof(nodes: list[S3BlobStore]) -> None:
    key = new_storage_key()
    state = push(nodes[0], key, 0, "", BIG[: 16 * MIB])
    ours, theirs = nodes[0].writer(key, 16 * MIB, state), nodes[1].writer(key, 16 * MIB, state)
    theirs.write([b"theirs"])
    ours.write([b"ours!!"])

    finished = theirs.finish(16 * MIB + 6)
    late = finish_as(ours, 16 * MIB + 6)

    assert content(nodes[2], finished.key) == BIG[: 16 * MIB] + b"theirs"
    assert late is None
    ours.close()


def test_an_upload_that_was_finished_and_not_recorded_says_where_its_bytes_are(
    nodes: list[S3BlobStore],
) -> None:
    key = new_storage_key()
    state = push(nodes[0], key, 0, "", BIG)
    with closing(nodes[0].writer(key, len(BIG), state)) as writer:
        finished = writer.finish(len(BIG))

    with pytest.raises(BlobFinished) as refused:
        nodes[1].writer(key, len(BIG), state)

    assert refused.value.key == finished.key


def test_taking_back_a_request_leaves_what_was_acknowledged(nodes: list[S3BlobStore]) -> None:
    key = new_storage_key()
    state = push(nodes[0], key, 0, "", BIG[: 10 * MIB])
    with closing(nodes[0].writer(key, 10 * MIB, state)) as writer:
        writer.write([OTHER[: 9 * MIB]])
        writer.cut(10 * MIB)
        writer.write([BIG[10 * MIB :]])
        finished = writer.finish(len(BIG))

    assert content(nodes[1], finished.key) == BIG


def test_long_staged_bytes_cannot_be_read_before_they_are_finished(nodes: list[S3BlobStore]) -> None:
    key = new_storage_key()
    push(nodes[0], key, 0, "", BIG)

    with pytest.raises(BlobSealed):
        nodes[1].staged(key)


def test_discarding_an_upload_leaves_nothing_of_any_node(nodes: list[S3BlobStore]) -> None:
    key, other = new_storage_key(), new_storage_key()
    kept = push(nodes[2], other, 0, "", BIG[: 9 * MIB])
    state = push(nodes[0], key, 0, "", BIG[: 9 * MIB])
    for node in nodes[:2]:
        push(node, key, 0, "", OTHER[: 9 * MIB])
    push(nodes[1], key, 9 * MIB, state, BIG[9 * MIB :])

    nodes[2].discard(key)

    assert left_of(nodes[0], key) == []
    assert len(left_of(nodes[0], other)) == 2  # its state and its parts
    with pytest.raises(BlobMissing):
        nodes[2].writer(key, 9 * MIB, state)
    push(nodes[0], other, 9 * MIB, kept, BIG[9 * MIB :])


@pytest.mark.parametrize("state", ["../../x", "0", "00000001-000000000005-1234567812345678/../x"])
def test_what_is_no_state_reaches_no_bytes(nodes: list[S3BlobStore], state: str) -> None:
    with pytest.raises(BlobDamaged):
        nodes[0].writer(new_storage_key(), 5, state)


def test_a_state_of_another_offset_is_refused(nodes: list[S3BlobStore]) -> None:
    key = new_storage_key()
    state = push(nodes[0], key, 0, "", b"12345")

    for node in nodes:
        with pytest.raises(BlobDamaged):
            node.writer(key, 4, state)
    with pytest.raises(BlobDamaged):
        nodes[0].writer(key, 5, "")


def test_an_address_reads_the_object_range_and_all_until_it_is_spoiled(nodes: list[S3BlobStore]) -> None:
    key = new_storage_key()
    nodes[0].bucket.put(key, b"0123456789")

    address = nodes[1].address(key)

    assert address is not None
    with urllib.request.urlopen(address) as answer:
        assert answer.read() == b"0123456789"
    asked = urllib.request.Request(address, headers={"Range": "bytes=2-4"})
    with urllib.request.urlopen(asked) as answer:
        assert (answer.status, answer.read()) == (206, b"234")
    assert "X-Amz-Expires=240" in address


def test_a_store_that_is_not_there_is_unavailable_and_says_nothing_about_where_it_would_be() -> None:
    place = S3Place.from_url("s3://bucket/secret-prefix?endpoint=http://127.0.0.1:9")
    store = S3BlobStore(place, "key", "secret-key")

    with pytest.raises(Unavailable) as failed:
        store.check()

    assert "127.0.0.1" not in failed.value.message
    assert "secret" not in failed.value.message
    store.close()


def test_a_bucket_that_is_not_there_is_not_ready(server: S3Server) -> None:
    place = S3Place.from_url(server.url("no-such-bucket"))
    with closing(S3BlobStore(place, "key", "secret")) as store, pytest.raises(Unavailable):
        store.check()


def test_the_largest_layer_fits_into_the_parts_that_s3_allows() -> None:
    at = number = 0
    while at < LAYER_BYTES:
        number += 1
        at += part_bytes(number)

    assert number < 10_000


def test_the_names_of_an_upload_s_objects_are_keys_of_its_family() -> None:
    key = new_storage_key()

    found = {sibling(key) for _ in range(50)}

    assert len(found) == 50
    assert all(name.startswith(family(key)) for name in found)
    assert composite([]) == "d41d8cd98f00b204e9800998ecf8427e-0"
