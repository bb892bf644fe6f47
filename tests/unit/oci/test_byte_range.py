"""Ranges of a blob: RFC 9110, section 14."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.blobs import Unsatisfiable, byte_range


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=0-9", 10, (0, 10)),
        ("bytes=0-", 10, (0, 10)),
        ("bytes=4-", 10, (4, 6)),
        ("bytes=4-99", 10, (4, 6)),
        ("bytes=9-9", 10, (9, 1)),
        ("bytes=-3", 10, (7, 3)),
        ("bytes=-99", 10, (0, 10)),
        (" bytes=0-0 ", 10, (0, 1)),
        ("bytes=0-9223372036854775807", 10, (0, 10)),
        ("bytes=0-9999999999999999999", 10, (0, 10)),
    ],
)
def test_a_single_range_gives_its_bytes(header: str, size: int, expected: tuple[int, int]) -> None:
    assert byte_range(header, size) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=9999999999999999999-"])
def test_a_range_behind_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        byte_range(header, 10)


def test_no_range_of_an_empty_blob_can_be_satisfied() -> None:
    for header in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        with pytest.raises(Unsatisfiable):
            byte_range(header, 0)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=-",
        "bytes=",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "bytes=" + ",".join("0-1" for _ in range(100_000)),
        "lines=0-1",
        "bytes=0-1-2",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=0x0-1",
        "bytes=00000000000000000000-1",
        "bytes=\u0661-",
        "bytes = 0-1",
    ],
)
def test_what_is_no_single_range_is_answered_with_the_whole(header: str | None) -> None:
    assert byte_range(header, 10) is None


@given(st.text("bytes=-,0123456789 ", max_size=30) | st.text(max_size=20), st.integers(0, 2**63))
def test_whatever_the_header_says_the_bytes_lie_inside_the_blob(header: str, size: int) -> None:
    try:
        found = byte_range(header, size)
    except Unsatisfiable:
        return

    if found is not None:
        first, count = found
        assert first >= 0
        assert count > 0
        assert first + count <= size
