"""Chunked bodies: every cut of a valid body gives its payload, and no broken one ever gives garbage."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.wire.chunked import ChunkDecoder, ChunkError

LINE = 4096  # the longest chunk header or trailer line
extensions = st.sampled_from(
    [b"", b" ", b"\t ", b";a", b";a=b", b' ;a="b c";d', b";" + b"x" * 200, b"; \xe4"]
)
trailers = st.lists(st.sampled_from([b"a: b", b"Digest: x", b"x:" + b"y" * 300]), max_size=3)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A payload and one valid way to send it."""
    wire, payload = bytearray(), bytearray()
    for piece in draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6)):
        digits = f"{len(piece):x}".rjust(draw(st.integers(1, 16)), "0")
        digits = digits.upper() if draw(st.booleans()) else digits
        wire += digits.encode() + draw(extensions) + b"\r\n" + piece + b"\r\n"
        payload += piece
    wire += b"0" * draw(st.integers(1, 16)) + draw(extensions) + b"\r\n"
    for line in draw(trailers):
        wire += line + b"\r\n"
    return bytes(payload), bytes(wire) + b"\r\n"


def decode(pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    """Feed as a connection does; return (payload, what was not used, whether the body ended)."""
    decoder, carry, payload = ChunkDecoder(), b"", bytearray()
    for piece in pieces:
        view = memoryview(carry + piece)
        slices, used = decoder.feed(view)
        for part in slices:
            payload += part
        carry = bytes(view[used:])
    return bytes(payload), carry, decoder.done


def cut(wire: bytes, seed: int, most: int = 9) -> list[bytes]:
    chance, pieces, at = random.Random(seed), [], 0
    while at < len(wire):
        size = chance.randint(1, most)
        pieces.append(wire[at : at + size])
        at += size
    return pieces


@settings(max_examples=500)
@given(bodies(), st.integers(), st.sampled_from([b"", b"GET / HTTP/1.1\r\n\r\n", b"\r\n", b"0\r\n\r\n"]))
def test_every_cut_of_a_valid_body_gives_its_payload_and_leaves_what_follows(
    body: tuple[bytes, bytes], seed: int, following: bytes
) -> None:
    payload, wire = body

    whole = decode([wire + following])
    cut_up = decode(cut(wire + following, seed))
    single = decode([wire[at : at + 1] for at in range(len(wire))] + [following])

    assert whole == cut_up == single == (payload, following, True)


@given(bodies(), st.data())
def test_a_body_that_stops_early_is_never_taken_for_complete(
    body: tuple[bytes, bytes], data: st.DataObject
) -> None:
    payload, wire = body
    end = data.draw(st.integers(0, len(wire) - 1))

    found, _, done = decode([wire[:end]])

    assert not done
    assert payload.startswith(found)


def reference(wire: bytes) -> tuple[bytes, bytes] | None:
    """Payload and rest of a complete, valid body by RFC 9112 said as plainly as possible; None for any other."""
    payload = b""
    while True:
        head = re.match(rb"([0-9a-fA-F]{1,16})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?\r\n", wire)
        if head is None:
            return None
        size, wire = int(head[1], 16), wire[head.end() :]
        if not size:
            break
        if wire[size : size + 2] != b"\r\n":
            return None
        payload, wire = payload + wire[:size], wire[size + 2 :]
    while not wire.startswith(b"\r\n"):
        line = re.match(rb"[^\r\n]+\r\n", wire)
        if line is None:
            return None
        wire = wire[line.end() :]
    return payload, wire[2:]


def outcome(pieces: list[bytes]) -> tuple[bytes, bytes] | None:
    try:
        payload, rest, done = decode(pieces)
    except ChunkError:
        return None
    return (payload, rest) if done else None


@settings(max_examples=1_000)
@given(bodies(), st.data())
def test_a_damaged_body_is_read_as_the_rfc_says_or_not_at_all(
    body: tuple[bytes, bytes], data: st.DataObject
) -> None:
    wire = bytearray(body[1])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(wire) - 1))
        new = data.draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"0", b"g", b"\x00", b"-", b";", b"f"])
        )
        wire[at : at + data.draw(st.integers(0, 1))] = new
    damaged = bytes(wire)

    for pieces in ([damaged], cut(damaged, data.draw(st.integers()))):
        assert outcome(pieces) == reference(damaged)


@settings(max_examples=500)
@given(st.binary(max_size=60) | st.text("0123af;\r\n \tx", max_size=40).map(str.encode), st.integers())
def test_any_bytes_are_read_as_the_rfc_says_or_not_at_all(wire: bytes, seed: int) -> None:
    assert outcome([wire]) == outcome(cut(wire, seed)) == reference(wire)


@pytest.mark.parametrize(
    "wire",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5 5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"\r\n",
        b";a\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;a\x00\r\nhello\r\n",
        b"00000000000000005\r\nhello\r\n",  # 17 digits
        b"5_0\r\n",
        b"0\r\na: b\nc: d\r\n\r\n",
        b"0\r\na: b\rc: d\r\n\r\n",
        b"0\r\n\n",
    ],
)
def test_framing_that_two_readers_could_read_differently_is_refused(wire: bytes) -> None:
    with pytest.raises(ChunkError):
        decode([wire])
    with pytest.raises(ChunkError):
        decode([wire[at : at + 1] for at in range(len(wire))])


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
def test_a_long_line_is_refused_alike_whole_and_in_pieces(size: int) -> None:
    fits, too_long = b"1" + b";" * (LINE - 1), b"1" + b";" * LINE
    rest = b"\r\nx\r\n0\r\n\r\n"

    assert outcome(pieces_of(fits + rest, size)) == (b"x", b"")
    assert outcome(pieces_of(too_long + rest, size)) is None
    assert outcome(pieces_of(b"0\r\n" + b"t" * LINE + b"\r\n\r\n", size)) == (b"", b"")
    assert outcome(pieces_of(b"0\r\n" + b"t" * (LINE + 1) + b"\r\n\r\n", size)) is None


def pieces_of(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


def test_a_line_without_an_end_is_given_up_early() -> None:
    for begin in (b"1;", b"0\r\n", b"f" * 17):
        with pytest.raises(ChunkError):
            decode([begin, b"x" * 2 * LINE])


def test_trailers_are_bounded_together() -> None:
    line = b"a: " + b"b" * 1000 + b"\r\n"

    assert outcome([b"0\r\n" + line * 16 + b"\r\n"]) == (b"", b"")
    assert outcome([b"0\r\n" + line * 17 + b"\r\n"]) is None
    with pytest.raises(ChunkError):
        decode([b"0\r\n", *[line] * 1_000])


def test_a_chunk_of_many_exabytes_needs_no_memory_before_it_comes() -> None:
    payload, rest, done = decode([b"ffffffffffffffff\r\n", b"x" * 1000])

    assert (payload, rest, done) == (b"x" * 1000, b"", False)


def test_the_payload_is_not_copied() -> None:
    wire = bytearray(b"5\r\nhello\r\n0\r\n\r\n")

    slices, _ = ChunkDecoder().feed(memoryview(wire))
    wire[3:8] = b"HELLO"

    assert b"".join(slices) == b"HELLO"


def test_nothing_is_used_of_what_follows_the_body() -> None:
    decoder = ChunkDecoder()
    wire = memoryview(b"0\r\n\r\nPATCH /v2/")

    first = decoder.feed(wire)
    second = decoder.feed(wire[first[1] :])

    assert first == ([], 5)
    assert second == ([], 0)
    assert decoder.done
