"""Uploads as the OCI distribution specification 1.1 describes them ("Pushing blobs"), on every kind of server."""

from __future__ import annotations

import hashlib
import os
import time
from itertools import pairwise

import pytest

from tests.oci.conftest import Place
from tests.oci.raw import Answer, Line


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def opened(line: Line, place: Place) -> str:
    """Open an upload; returns its location."""
    answer = line.ask("POST", place.uploads, body=b"")
    assert answer.status == 202, answer
    assert answer.headers["range"] == "0-0"
    assert answer.headers["docker-upload-uuid"] in answer.headers["location"]
    return answer.headers["location"]


def accepted(answer: Answer, last: int) -> str:
    """Assert that a part was taken up to byte `last`; returns where the next one goes."""
    assert answer.status == 202, answer
    assert answer.headers["range"] == f"0-{last}"
    return answer.headers["location"]


def created(answer: Answer, place: Place, digest: str) -> None:
    assert answer.status == 201, answer
    assert answer.headers["docker-content-digest"] == digest
    assert answer.headers["location"] == f"/v2/{place.repository}/blobs/{digest}"


def stored(line: Line, place: Place, digest: str) -> bytes:
    """The bytes of a blob: also proof that the connection is still in step."""
    answer = line.ask("GET", f"/v2/{place.repository}/blobs/{digest}")
    assert answer.status == 200, answer.status
    assert answer.headers["docker-content-digest"] == digest
    assert answer.headers["content-type"] == "application/octet-stream"
    return answer.body


def absent(line: Line, place: Place, digest: str) -> None:
    assert line.ask("HEAD", f"/v2/{place.repository}/blobs/{digest}").status == 404


def reached(line: Line, location: str) -> str:
    """How far the server says an upload is."""
    answer = line.ask("GET", location)
    assert answer.status == 204, answer
    assert answer.headers["location"] == location
    return answer.headers["range"]


SIZES = [1, 1000, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 5_000_001]


@pytest.mark.parametrize("size", SIZES)
def test_a_blob_can_be_pushed_with_one_put(place: Place, size: int) -> None:
    data = os.urandom(size)
    digest = digest_of(data)

    with place.site.line() as line:
        location = opened(line, place)
        created(line.ask("PUT", f"{location}?digest={digest}", body=data), place, digest)

        assert stored(line, place, digest) == data


@pytest.mark.parametrize("size", SIZES)
def test_a_blob_can_be_pushed_with_one_post(place: Place, size: int) -> None:
    data = os.urandom(size)
    digest = digest_of(data)

    with place.site.line() as line:
        created(line.ask("POST", f"{place.uploads}?digest={digest}", body=data), place, digest)

        assert stored(line, place, digest) == data


@pytest.mark.parametrize("size", SIZES)
def test_a_blob_can_be_pushed_with_one_put_of_unknown_length(place: Place, size: int) -> None:
    data = os.urandom(size)
    digest = digest_of(data)

    with place.site.line() as line:
        location = opened(line, place)
        chunks = [data[at : at + 100_000] for at in range(0, size, 100_000)]
        created(line.ask_chunked("PUT", f"{location}?digest={digest}", chunks), place, digest)

        assert stored(line, place, digest) == data


def test_a_blob_can_be_pushed_with_one_post_of_unknown_length(place: Place) -> None:
    data = os.urandom(300_000)
    digest = digest_of(data)

    with place.site.line() as line:
        answer = line.ask_chunked("POST", f"{place.uploads}?digest={digest}", [data[:7], data[7:]])

        created(answer, place, digest)
        assert stored(line, place, digest) == data


@pytest.mark.parametrize("ranged", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("last_in_put", [True, False])
def test_a_blob_can_be_pushed_in_pieces(place: Place, ranged: bool, chunked: bool, last_in_put: bool) -> None:
    data = os.urandom(300_000)
    digest = digest_of(data)
    cuts = [0, 1, 70_000, 70_001, 200_000]

    with place.site.line() as line:
        location = opened(line, place)
        for first, end in pairwise(cuts):
            piece = data[first:end]
            headers = {"Content-Range": f"{first}-{end - 1}"} if ranged else {}
            if chunked:
                chunks = [part for part in (piece[:10], piece[10:]) if part]
                answer = line.ask_chunked("PATCH", location, chunks, headers)
            else:
                answer = line.ask("PATCH", location, headers, piece)
            location = accepted(answer, end - 1)
            assert reached(line, location) == f"0-{end - 1}"
        rest = data[cuts[-1] :]
        headers = {"Content-Range": f"{cuts[-1]}-{len(data) - 1}"} if ranged else {}
        if not last_in_put:
            location = accepted(line.ask("PATCH", location, headers, rest), len(data) - 1)
            headers, rest = {}, b""
        created(line.ask("PUT", f"{location}?digest={digest}", headers, rest), place, digest)

        assert stored(line, place, digest) == data


def test_the_last_request_may_have_no_body_and_no_length(place: Place) -> None:
    data = b"everything came with the PATCH"
    digest = digest_of(data)

    with place.site.line() as line:
        location = accepted(line.ask("PATCH", opened(line, place), body=data), len(data) - 1)
        created(line.ask("PUT", f"{location}?digest={digest}"), place, digest)

        assert stored(line, place, digest) == data


def test_pieces_may_come_over_different_connections(place: Place) -> None:
    pieces = [os.urandom(50_000) for _ in range(8)]
    digest = digest_of(b"".join(pieces))

    with place.site.line() as line:
        location = opened(line, place)
    for piece in pieces:
        answer = place.site.ask("PATCH", location, body=piece)
        assert answer.status == 202, answer
        location = answer.headers["location"]

    created(place.site.ask("PUT", f"{location}?digest={digest}", body=b""), place, digest)
    with place.site.line() as line:
        assert stored(line, place, digest) == b"".join(pieces)


def test_a_blob_may_be_empty(place: Place) -> None:
    digest = digest_of(b"")

    with place.site.line() as line:
        created(line.ask("POST", f"{place.uploads}?digest={digest}", body=b""), place, digest)
        assert stored(line, place, digest) == b""
    with place.site.line() as line:
        location = opened(line, place)
        created(line.ask_chunked("PUT", f"{location}?digest={digest}", []), place, digest)
        location = accepted(line.ask("PATCH", opened(line, place), body=b""), 0)
        created(line.ask("PUT", f"{location}?digest={digest}"), place, digest)
        assert stored(line, place, digest) == b""


def test_blobs_may_be_named_by_sha512(place: Place) -> None:
    data = os.urandom(200_000)
    digest = digest_of(data, "sha512")

    with place.site.line() as line:
        location = accepted(line.ask("PATCH", opened(line, place), body=data[:1000]), 999)
        created(line.ask("PUT", f"{location}?digest={digest}", body=data[1000:]), place, digest)

        assert stored(line, place, digest) == data


def test_one_put_may_be_larger_than_every_buffer(place: Place) -> None:
    block = os.urandom(1024 * 1024)
    count = 66
    hashed = hashlib.sha256()
    for _ in range(count):
        hashed.update(block)
    digest = f"sha256:{hashed.hexdigest()}"

    with place.site.line() as line:
        location = opened(line, place)
        line.send_head("PUT", f"{location}?digest={digest}", {"Content-Length": str(count * len(block))})
        for _ in range(count):
            line.send(block)
        created(line.answer(), place, digest)

        answer = line.ask(
            "GET", f"/v2/{place.repository}/blobs/{digest}", {"Range": f"bytes={66 * len(block) - 5}-"}
        )
        assert answer.body == block[-5:]


def test_thousands_of_tiny_chunks_are_put_together(place: Place) -> None:
    data = os.urandom(20_000)
    digest = digest_of(data)
    framed = b"".join(b"1\r\n%c\r\n" % byte for byte in data) + b"0\r\n\r\n"

    with place.site.line() as line:
        location = opened(line, place)
        line.send(line.head("PATCH", location, {"Transfer-Encoding": "chunked"}) + framed)
        location = accepted(line.answer(), len(data) - 1)
        created(line.ask("PUT", f"{location}?digest={digest}"), place, digest)

        assert stored(line, place, digest) == data


def test_a_body_may_arrive_byte_by_byte(place: Place) -> None:
    data = os.urandom(40)
    digest = digest_of(data)
    framed = (
        b'1c;name="a value"\r\n' + data[:28] + b"\r\nC;x\r\n" + data[28:] + b"\r\n0\r\nTrailer: one\r\n\r\n"
    )

    with place.site.line() as line:
        location = opened(line, place)
        for byte in (
            line.head("PUT", f"{location}?digest={digest}", {"Transfer-Encoding": "chunked"}) + framed
        ):
            line.send(bytes([byte]))
        created(line.answer(), place, digest)

        assert stored(line, place, digest) == data


def test_chunk_extensions_and_trailers_are_passed_over(place: Place) -> None:
    data = os.urandom(100)
    digest = digest_of(data)
    framed = b"64;checksum=abc\r\n" + data + b"\r\n0;last\r\nX-Checksum: abc\r\nX-Other: def\r\n\r\n"

    with place.site.line() as line:
        location = opened(line, place)
        line.send(line.head("PUT", f"{location}?digest={digest}", {"Transfer-Encoding": "chunked"}) + framed)
        created(line.answer(), place, digest)

        assert stored(line, place, digest) == data


def test_the_next_requests_may_be_sent_before_the_answers(place: Place) -> None:
    data = os.urandom(150_000)
    digest = digest_of(data)
    blob = f"/v2/{place.repository}/blobs/{digest}"

    with place.site.line() as line:
        location = opened(line, place)
        line.send(
            line.head("PATCH", location, {"Content-Length": "100000"})
            + data[:100_000]
            + line.head("PATCH", location, {"Transfer-Encoding": "chunked"})
            + b"c350\r\n"
            + data[100_000:]
            + b"\r\n0\r\n\r\n"
            + line.head("PUT", f"{location}?digest={digest}", {"Content-Length": "0"})
            + line.head("HEAD", blob)
            + line.head("GET", blob)
            + line.head("POST", place.uploads, {"Content-Length": "0"})
        )

        accepted(line.answer(), 99_999)
        accepted(line.answer(), 149_999)
        created(line.answer(), place, digest)
        assert line.answer("HEAD").status == 200
        assert line.answer().body == data
        assert line.answer().status == 202


def test_a_pipelined_request_in_small_pieces_is_not_lost(place: Place) -> None:
    data = os.urandom(3000)
    digest = digest_of(data)

    with place.site.line() as line:
        location = opened(line, place)
        stream = (
            line.head("PUT", f"{location}?digest={digest}", {"Content-Length": "3000"})
            + data
            + line.head("GET", f"/v2/{place.repository}/blobs/{digest}")
        )
        for at in range(0, len(stream), 97):
            line.send(stream[at : at + 97])

        created(line.answer(), place, digest)
        assert line.answer().body == data


def test_a_piece_out_of_order_is_refused_and_not_counted(place: Place) -> None:
    data = os.urandom(1000)

    with place.site.line() as line:
        location = accepted(line.ask("PATCH", opened(line, place), {"Content-Range": "0-999"}, data), 999)
    for announced in ("0-999", "2000-2999", "999-1998", "1001-2000"):
        answer = place.site.ask("PATCH", location, {"Content-Range": announced}, os.urandom(1000))
        answer.refused(416, "BLOB_UPLOAD_INVALID")
        assert answer.headers["range"] == "0-999"
        assert answer.headers["location"] == location

    with place.site.line() as line:
        assert reached(line, location) == "0-999"
        created(line.ask("PUT", f"{location}?digest={digest_of(data)}"), place, digest_of(data))
        assert stored(line, place, digest_of(data)) == data


def test_a_cancelled_upload_is_gone(place: Place) -> None:
    with place.site.line() as line:
        location = accepted(line.ask("PATCH", opened(line, place), body=b"some bytes"), 9)

        assert line.ask("DELETE", location).status == 204

        for method in ("GET", "PATCH", "DELETE"):
            line.ask(method, location, body=b"").refused(404, "BLOB_UPLOAD_UNKNOWN")
        line.ask("PUT", f"{location}?digest={digest_of(b'')}", body=b"").refused(404, "BLOB_UPLOAD_UNKNOWN")


def test_a_finished_upload_is_gone(place: Place) -> None:
    with place.site.line() as line:
        location = opened(line, place)
        created(line.ask("PUT", f"{location}?digest={digest_of(b'x')}", body=b"x"), place, digest_of(b"x"))

        line.ask("GET", location).refused(404, "BLOB_UPLOAD_UNKNOWN")
        line.ask("PUT", f"{location}?digest={digest_of(b'x')}", body=b"x").refused(404, "BLOB_UPLOAD_UNKNOWN")


def test_the_wrong_digest_stores_nothing(place: Place) -> None:
    claimed = digest_of(b"something else")

    with place.site.line() as line:
        location = opened(line, place)
        line.ask("PUT", f"{location}?digest={claimed}", body=b"bytes").refused(400, "DIGEST_INVALID")
        absent(line, place, claimed)
        absent(line, place, digest_of(b"bytes"))
        line.ask("GET", location).refused(404, "BLOB_UPLOAD_UNKNOWN")

        line.ask("POST", f"{place.uploads}?digest={claimed}", body=b"bytes").refused(400, "DIGEST_INVALID")
        absent(line, place, claimed)


def test_finishing_without_a_digest_changes_nothing(place: Place) -> None:
    with place.site.line() as line:
        location = accepted(line.ask("PATCH", opened(line, place), body=b"abc"), 2)
    place.site.ask("PUT", location, body=b"def").refused(400, "DIGEST_INVALID")
    place.site.ask("PUT", f"{location}?digest=md5:abc", body=b"def").refused(400, "DIGEST_INVALID")

    with place.site.line() as line:
        assert reached(line, location) == "0-2"


def test_a_client_that_was_cut_off_goes_on_where_the_server_stopped(place: Place) -> None:
    data = os.urandom(6_000_000)
    digest = digest_of(data)
    with place.site.line() as line:
        location = opened(line, place)
        line.send_head("PATCH", location, {"Content-Length": str(len(data))})
        line.send(data[:4_000_000])
        # The server reads on while nothing comes back: then the cut comes after the bytes and not instead of them.
        assert line.silent(0.3)

    with place.site.line() as line:
        deadline = time.monotonic() + 10
        while (have := reached(line, location)) == "0-0" and time.monotonic() < deadline:
            time.sleep(0.02)
        first = int(have.removeprefix("0-")) + 1
        assert 2_000_000 < first <= 4_000_000
        rest = {"Content-Range": f"{first}-{len(data) - 1}"}
        answer = place.site.ask("PATCH", location, rest, data[first:])
        while answer.status == 416 and time.monotonic() < deadline:  # the first request has not ended yet
            answer = place.site.ask("PATCH", location, rest, data[first:])
        accepted(answer, len(data) - 1)
        created(line.ask("PUT", f"{location}?digest={digest}"), place, digest)
        assert stored(line, place, digest) == data


def test_a_cut_off_put_can_be_repeated(place: Place) -> None:
    data = os.urandom(400_000)
    digest = digest_of(data)
    with place.site.line() as line:
        location = accepted(line.ask("PATCH", opened(line, place), body=data[:10]), 9)
        line.send_head("PUT", f"{location}?digest={digest}", {"Content-Length": str(len(data) - 10)})
        line.send(data[10:150_000])

    with place.site.line() as line:
        deadline = time.monotonic() + 10
        while True:
            assert reached(line, location) == "0-9"
            answer = place.site.ask("PUT", f"{location}?digest={digest}", body=data[10:])
            if answer.status == 201 or time.monotonic() > deadline:
                break
            answer.refused(416, "BLOB_UPLOAD_INVALID")  # the first request has not noticed the cut yet
        created(answer, place, digest)
        assert stored(line, place, digest) == data


def test_continue_comes_before_the_body_is_sent(place: Place) -> None:
    data = os.urandom(100_000)
    digest = digest_of(data)
    with place.site.line() as line:
        location = opened(line, place)
    for method, path in (
        ("PATCH", location),
        ("POST", f"{place.uploads}?digest={digest}"),
    ):
        with place.site.line() as line:
            line.send_head(method, path, {"Content-Length": str(len(data)), "Expect": "100-continue"})
            assert line.answer().status == 100
            line.send(data)
            assert line.answer().status in (201, 202)
            assert stored(line, place, digest) == data if method == "POST" else True


@pytest.mark.parametrize("framing", [{"Content-Length": "1000"}, {"Transfer-Encoding": "chunked"}])
def test_a_refusal_comes_instead_of_continue(place: Place, framing: dict[str, str]) -> None:
    with place.site.line() as line:
        location = opened(line, place)
    for headers, path, status in (
        ({"Authorization": ""}, location, 401),
        ({"Authorization": ""}, place.uploads + "?digest=" + digest_of(b"x"), 401),
        ({}, f"/v2/no-such-repository/blobs/uploads/{location[-36:]}", 404),
        ({}, location[:-36] + "00000000-0000-4000-8000-000000000000", 404),
    ):
        with place.site.line() as line:
            method = "POST" if "digest=" in path else "PATCH"
            line.send_head(method, path, {"Expect": "100-continue", **framing, **headers})
            assert line.answer().status == status


def test_a_mount_makes_the_blob_of_another_repository_present(place: Place) -> None:
    data = os.urandom(1000)
    digest = digest_of(data)
    other = place.new_repository()

    with place.site.line() as line:
        created(line.ask("POST", f"{place.uploads}?digest={digest}", body=data), place, digest)
        answer = line.ask(
            "POST", f"/v2/{other}/blobs/uploads/?mount={digest}&from={place.repository}", body=b""
        )

        assert answer.status == 201, answer
        assert answer.headers["location"] == f"/v2/{other}/blobs/{digest}"
        assert answer.headers["docker-content-digest"] == digest
        assert line.ask("GET", f"/v2/{other}/blobs/{digest}").body == data


@pytest.mark.parametrize(
    "source", ["&from=no/such/repository", "&from=NOT%20A%20NAME", "&from=", "", "&from={empty}"]
)
def test_a_mount_that_finds_nothing_opens_an_upload(place: Place, source: str) -> None:
    digest = digest_of(b"nobody has this")
    empty = place.new_repository()

    with place.site.line() as line:
        answer = line.ask("POST", f"{place.uploads}?mount={digest}{source.format(empty=empty)}", body=b"")

        assert answer.status == 202, answer
        data = b"so it is pushed"
        path = f"{answer.headers['location']}?digest={digest_of(data)}"
        created(line.ask("PUT", path, body=data), place, digest_of(data))


def test_a_mount_of_what_is_no_digest_is_refused(place: Place) -> None:
    place.site.ask("POST", f"{place.uploads}?mount=abc&from=x/y", body=b"").refused(400, "DIGEST_INVALID")


def test_a_repeated_push_of_the_same_blob_succeeds(place: Place) -> None:
    data = os.urandom(70_000)
    digest = digest_of(data)

    with place.site.line() as line:
        for _ in range(3):
            created(line.ask("POST", f"{place.uploads}?digest={digest}", body=data), place, digest)
        assert stored(line, place, digest) == data


def test_uploads_need_an_existing_repository(place: Place) -> None:
    for path in ("", f"?digest={digest_of(b'')}", f"?mount={digest_of(b'')}&from={place.repository}"):
        answer = place.site.ask("POST", f"/v2/not/there/blobs/uploads/{path}", body=b"")
        answer.refused(404, "NAME_UNKNOWN")


def test_uploads_may_be_opened_without_the_final_slash(place: Place) -> None:
    data = os.urandom(100_000)

    with place.site.line() as line:
        assert line.ask("POST", place.uploads.rstrip("/"), body=b"").status == 202
        path = f"{place.uploads.rstrip('/')}?digest={digest_of(data)}"
        created(line.ask("POST", path, body=data), place, digest_of(data))
        assert stored(line, place, digest_of(data)) == data
