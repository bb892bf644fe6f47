"""Blobs as the OCI distribution specification 1.1 describes them ("Pulling blobs"); ranges by RFC 9110, section 14."""

from __future__ import annotations

import hashlib
import os

import pytest

from tests.oci.conftest import Place

SIZES = [0, 1, 500, 64 * 1024, 64 * 1024 + 1, 3_000_000]


def pushed(place: Place, data: bytes) -> str:
    """Push a blob; returns its path."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    answer = place.site.ask("POST", f"{place.uploads}?digest={digest}", body=data)
    assert answer.status == 201, answer
    return f"/v2/{place.repository}/blobs/{digest}"


@pytest.mark.parametrize("size", SIZES)
def test_a_blob_comes_back_whole(place: Place, size: int) -> None:
    data = os.urandom(size)
    path = pushed(place, data)

    with place.site.line() as line:
        for _ in range(2):
            head, get = line.ask("HEAD", path), line.ask("GET", path)
            assert (head.status, get.status) == (200, 200)
            assert get.body == data
            for answer in (head, get):
                assert answer.headers["content-length"] == str(size)
                assert answer.headers["content-type"] == "application/octet-stream"
                assert answer.headers["docker-content-digest"] == path.rpartition("/")[2]
                assert answer.headers["accept-ranges"] == "bytes"
                assert "private" in answer.headers["cache-control"]


@pytest.mark.parametrize("size", [10, 64 * 1024 + 1, 3_000_000])
def test_a_range_of_a_blob_is_served(place: Place, size: int) -> None:
    data = os.urandom(size)
    path = pushed(place, data)
    ranges = {
        "bytes=0-0": (0, 0),
        "bytes=0-4": (0, 4),
        "bytes=3-7": (3, 7),
        "bytes=5-": (5, size - 1),
        "bytes=-3": (size - 3, size - 1),
        f"bytes=-{size + 100}": (0, size - 1),
        f"bytes=2-{size + 100}": (2, size - 1),
        f"bytes={size - 1}-": (size - 1, size - 1),
        f"bytes=0-{size - 1}": (0, size - 1),
        "bytes=1-9999999999999999999": (1, size - 1),
    }

    with place.site.line() as line:
        for asked, (first, last) in ranges.items():
            answer = line.ask("GET", path, {"Range": asked})

            assert answer.status == 206, asked
            assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}", asked
            assert answer.headers["content-length"] == str(last - first + 1), asked
            assert answer.body == data[first : last + 1], asked


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=1000-1001", "bytes=999999999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_not_satisfiable(place: Place, asked: str) -> None:
    path = pushed(place, os.urandom(1000))

    with place.site.line() as line:
        answer = line.ask("GET", path, {"Range": asked})

        assert answer.status == 416
        assert answer.headers["content-range"] == "bytes */1000"
        assert answer.body == b""
        assert line.ask("HEAD", path).status == 200


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,4-5",
        "bytes=5-2",
        "bytes=-",
        "bytes=",
        "bytes",
        "items=0-1",
        "bytes=a-b",
        "bytes=0-1;x",
        "bytes=--1",
        "bytes=0x0-0x1",
        "bytes=99999999999999999999999-",
        "bytes=" + ",".join(f"{at}-{at}" for at in range(3000)),
    ],
)
def test_what_is_not_one_range_is_answered_with_the_whole(place: Place, asked: str) -> None:
    data = os.urandom(1000)

    answer = place.site.ask("GET", pushed(place, data), {"Range": asked})

    assert answer.status == 200
    assert answer.body == data


def test_no_byte_of_an_empty_blob_can_be_asked_for(place: Place) -> None:
    path = pushed(place, b"")

    for asked in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        answer = place.site.ask("GET", path, {"Range": asked})
        assert answer.status == 416
        assert answer.headers["content-range"] == "bytes */0"


def test_a_client_that_has_the_blob_is_told_so(place: Place) -> None:
    path = pushed(place, os.urandom(100_000))

    with place.site.line() as line:
        tag = line.ask("HEAD", path).headers["etag"]
        for known in (tag, f'"other", {tag}', f"W/{tag}"):
            answer = line.ask("GET", path, {"If-None-Match": known})
            assert answer.status == 304, known
            assert answer.headers["etag"] == tag
        assert line.ask("GET", path, {"If-None-Match": '"other"'}).status == 200


def test_a_range_is_for_the_version_that_the_client_knows(place: Place) -> None:
    data = os.urandom(1000)
    path = pushed(place, data)
    tag = place.site.ask("HEAD", path).headers["etag"]

    same = place.site.ask("GET", path, {"Range": "bytes=0-9", "If-Range": tag})
    other = place.site.ask("GET", path, {"Range": "bytes=0-9", "If-Range": '"other"'})

    assert (same.status, same.body) == (206, data[:10])
    assert (other.status, other.body) == (200, data)


def test_a_head_ignores_ranges(place: Place) -> None:
    path = pushed(place, os.urandom(1000))

    answer = place.site.ask("HEAD", path, {"Range": "bytes=0-9"})

    assert answer.status == 200
    assert answer.headers["content-length"] == "1000"


def test_blobs_go_with_their_images_and_not_by_themselves(place: Place) -> None:
    path = pushed(place, b"still here")

    place.site.ask("DELETE", path).refused(405, "UNSUPPORTED")

    assert place.site.ask("GET", path).body == b"still here"


def test_a_download_that_the_client_gives_up_disturbs_nobody(place: Place) -> None:
    data = os.urandom(3_000_000)
    path = pushed(place, data)

    for _ in range(3):
        with place.site.line() as line:
            line.send_head("GET", path)
            assert line.socket.recv(10_000).startswith(b"HTTP/1.1 200")
    assert place.site.ask("GET", path).body == data


def test_pipelined_downloads_come_in_order(place: Place) -> None:
    bodies = [os.urandom(size) for size in (100, 200_000, 0, 70_000, 5)]
    paths = [pushed(place, body) for body in bodies]

    with place.site.line() as line:
        line.send(b"".join(line.head("GET", path) for path in paths))

        assert [line.answer().body for _ in paths] == bodies
