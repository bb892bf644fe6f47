"""The store that fails on purpose fails exactly as its plan says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.blobs.faulty import (
    _ACTIONS,
    FAULTS_VARIABLE,
    Fault,
    FaultyBlobStore,
    faults_from_text,
    with_faults_from,
)
from homeport.blobs.files import FileBlobStore
from homeport.blobs.memory import MemoryBlobStore
from homeport.blobs.port import BlobStore, StorageKey, all_shards, new_storage_key
from homeport.kernel.errors import HomeportError, StorageFull, Unavailable


def push(store: BlobStore, content: bytes = b"0123456789") -> StorageKey:
    key = new_storage_key()
    with closing(store.writer(key, 0)) as writer:
        writer.write([content])
    store.finish(key, len(content))
    return key


class Killed(BaseException):
    """Stands in for the end of the process."""


def faulty(plan: str, inner: BlobStore) -> FaultyBlobStore:
    def kill() -> None:
        raise Killed

    return FaultyBlobStore(inner, faults_from_text(plan), kill=kill)


@pytest.mark.parametrize(
    ("plan", "failing_pushes"),
    [("finish:2:full", [2]), ("finish:2+:full", [2, 3]), ("finish:*:full", [1, 2, 3]), ("", [])],
)
def test_a_fault_strikes_exactly_the_calls_that_the_plan_names(plan: str, failing_pushes: list[int]) -> None:
    store = faulty(plan, MemoryBlobStore())
    failed = []

    for number in (1, 2, 3):
        try:
            push(store)
        except StorageFull:
            failed.append(number)

    assert failed == failing_pushes


@pytest.mark.parametrize("operation", list(_ACTIONS))
@pytest.mark.parametrize(("action", "error"), [("full", StorageFull), ("unavailable", Unavailable)])
def test_every_operation_can_be_made_to_fail(operation: str, action: str, error: type[HomeportError]) -> None:
    inner = MemoryBlobStore()
    key, upload = push(inner), new_storage_key()
    inner.writer(upload, 0).close()
    store = faulty(f"{operation}:1:{action}", inner)
    calls: dict[str, Callable[[], object]] = {
        "writer": lambda: store.writer(new_storage_key(), 0),
        "write": lambda: store.writer(upload, 0).write([b"x"]),
        "staged": lambda: store.staged(upload),
        "finish": lambda: store.finish(key, 10),
        "reader": lambda: store.reader(key),
        "read": lambda: store.reader(key).read(0, 1),
        "discard": lambda: store.discard(key),
        "listed": lambda: list(store.listed(next(all_shards()))),
        "save": lambda: store.writer(upload, 0).save(),
        "address": lambda: store.address(key),
        "check": store.check,
    }

    with pytest.raises(error):
        calls[operation]()

    with closing(inner.reader(key)) as reader:
        assert reader.read(0, 10) == b"0123456789"


@pytest.mark.parametrize(
    ("action", "done"), [("kill-before", False), ("kill-after", True), ("unavailable-after", True)]
)
def test_a_fault_around_a_call_comes_before_or_after_its_effect(action: str, done: bool) -> None:
    inner = MemoryBlobStore()
    key = push(inner)
    store = faulty(f"discard:1:{action}", inner)

    with pytest.raises((Killed, Unavailable)):
        store.discard(key)

    if done:
        assert key not in inner._finished
    else:
        inner.reader(key).close()


@pytest.mark.parametrize(("action", "error"), [("short", StorageFull), ("kill-half", Killed)])
def test_a_short_write_leaves_half_of_the_bytes(action: str, error: type[BaseException]) -> None:
    inner = MemoryBlobStore()
    store = faulty(f"write:2:{action}", inner)
    key = new_storage_key()

    with closing(store.writer(key, 0)) as writer:
        writer.write([b"before "])
        with pytest.raises(error):
            writer.write([b"01234", b"56789"])

    with closing(inner.staged(key)) as reader:
        assert reader.read(0, 99) == b"before 01234"


@pytest.mark.parametrize("action", ["short", "full", "unavailable", "unavailable-after"])
def test_a_writer_that_failed_can_still_take_back_what_it_wrote(action: str) -> None:
    inner = MemoryBlobStore()
    store = faulty(f"write:3:{action}", inner)
    key = new_storage_key()
    with closing(store.writer(key, 0)) as writer:
        writer.write([b"acknowledged"])

    with closing(store.writer(key, 12)) as writer:
        writer.write([b" and"])
        with pytest.raises(HomeportError):
            writer.write([b" refused"])
        writer.cut(12)

    with closing(inner.staged(key)) as reader:
        assert reader.read(0, 99) == b"acknowledged"
    assert inner._used == 12


def test_a_writer_that_failed_takes_no_more() -> None:
    store = faulty("write:1:unavailable", MemoryBlobStore())

    with closing(store.writer(new_storage_key(), 0)) as writer:
        for _ in range(2):
            with pytest.raises(Unavailable):
                writer.write([b"x"])


def test_a_lost_answer_to_opening_a_writer_leaves_the_upload_free(tmp_path: Path) -> None:
    store = faulty("writer:1:unavailable-after", FileBlobStore(tmp_path / "blobs", reserve_bytes=0))
    key = new_storage_key()

    with pytest.raises(Unavailable):
        store.writer(key, 0)

    store.writer(key, 0).close()


def test_a_spoiled_read_differs_from_the_stored_bytes(tmp_path: Path) -> None:
    inner = FileBlobStore(tmp_path / "blobs", reserve_bytes=0)
    key = push(inner)
    store = faulty("read:1:flip,read:2:truncate", inner)

    with closing(store.reader(key)) as reader:
        assert reader.fileno() is None
        assert [reader.read(0, 10) for _ in range(3)] == [b"01234\x346789", b"01234", b"0123456789"]


def test_an_empty_plan_leaves_sendfile_possible(tmp_path: Path) -> None:
    inner = FileBlobStore(tmp_path / "blobs", reserve_bytes=0)
    key = push(inner)

    with closing(FaultyBlobStore(inner).reader(key)) as reader:
        assert reader.fileno() is not None


@pytest.mark.parametrize(
    "text",
    [
        "finish",
        "finish:1",
        "finish:1:full:more",
        "finish:0:full",
        "finish:-1:full",
        "finish:x:full",
        "finish:1:flip",
        "read:1:short",
        "rename:1:full",
        "finish:1:full,",
        " finish:1:full",
        "finish:1:FULL",
    ],
)
def test_a_text_that_is_not_a_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        FaultyBlobStore.from_text(MemoryBlobStore(), text)


@given(st.text(max_size=40))
def test_any_text_is_a_plan_or_a_value_error(text: str) -> None:
    try:
        faults = faults_from_text(text)
    except ValueError:
        return
    assert len(faults) == (text.count(",") + 1 if text else 0)


@given(
    st.sampled_from([(operation, action) for operation, actions in _ACTIONS.items() for action in actions]),
    st.integers(1, 999_999_999),
    st.booleans(),
)
def test_every_fault_can_be_written_as_text(pair: tuple[str, str], first: int, onwards: bool) -> None:
    operation, action = pair

    text = f"{operation}:{first}{'+' if onwards else ''}:{action}"

    assert faults_from_text(text) == (Fault(operation, first, onwards, action),)


def test_the_environment_decides_whether_a_store_is_faulty() -> None:
    inner = MemoryBlobStore()

    store = with_faults_from({FAULTS_VARIABLE: "check:1:full"}, inner)

    assert with_faults_from({}, inner) is inner
    with pytest.raises(StorageFull):
        store.check()
    with pytest.raises(ValueError):
        with_faults_from({FAULTS_VARIABLE: "nonsense"}, inner)


def test_memory_is_bounded_and_freed_by_discarding() -> None:
    store = MemoryBlobStore(capacity_bytes=10)
    key = push(store)

    with pytest.raises(StorageFull):
        store.check()
    with closing(store.writer(new_storage_key(), 0)) as writer, pytest.raises(StorageFull):
        writer.write([b"x"])
    store.discard(key)
    store.check()
    upload = new_storage_key()
    for _ in range(3):  # an upload that starts over does not count twice
        with closing(store.writer(upload, 0)) as writer:
            writer.write([bytes(9)])


@pytest.mark.parametrize("cut_first", [True, False])
def test_memory_counts_right_when_an_upload_is_discarded_under_its_writer(cut_first: bool) -> None:
    store = MemoryBlobStore(capacity_bytes=10)
    key = new_storage_key()
    with closing(store.writer(key, 0)) as writer:
        writer.write([b"12345678"])

    with closing(store.writer(key, 4)) as writer:
        if cut_first:
            writer.cut()
        store.discard(key)
        for _ in range(3):
            writer.write([b"goes nowhere"])

    assert store._used == 0
