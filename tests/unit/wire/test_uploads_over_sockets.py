"""Bodies of uploads over real sockets: every byte arrives once, in order, and framing cannot be bent."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from homeport.wire import pace
from tests.unit.wire.loopback import UPLOAD, Client, Loopback, chunked, told, upload_head

PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
READERS = ["thread", "aiohttp"]
DATA = random.Random(7).randbytes(3_000_000)


def cuts(data: bytes, seed: int, most: int) -> list[bytes]:
    chance, pieces, at = random.Random(seed), [], 0
    while at < len(data):
        size = chance.choice([1, 2, 3, 17, chance.randint(1, most)])
        pieces.append(data[at : at + size])
        at += size
    return pieces


def halves(wire: bytes, read_by: str) -> tuple[bytes, ...]:
    """Cut the head in two when aiohttp shall read the body: ours reads those whose head comes whole."""
    return (wire,) if read_by == "thread" else (wire[:20], wire[20:])


def framed(data: bytes, framing: str, seed: int = 0) -> bytes:
    """Return a whole upload request."""
    if framing == "length":
        return upload_head(f"Content-Length: {len(data)}") + data
    return upload_head("Transfer-Encoding: chunked") + chunked(cuts(data, seed, 100_000))


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("seed", range(4))
def test_an_upload_cut_anywhere_arrives_as_it_was_sent_and_the_connection_goes_on(
    tmp_path: Path, framing: str, seed: int
) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()
            wire = framed(DATA, framing, seed)

            for piece in cuts(wire, seed, 300_000):
                await client.send(piece, pause=seed % 2 == 0)
            first = await client.answer()
            again = await client.get()

            assert (first.status, first.body) == (200, told(DATA))
            assert again.body == b"pong"

    asyncio.run(scenario())


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [0, 1, 100, 65_536, 5_000_000])
def test_requests_written_behind_an_upload_without_waiting_are_answered_in_order(
    tmp_path: Path, framing: str, size: int
) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()
            data = (DATA + DATA)[:size]

            sending = asyncio.create_task(
                client.send(framed(data, framing) + PING + framed(b"second", framing) + PING)
            )
            answers = [await client.answer() for _ in range(4)]
            await sending

            assert [answer.body for answer in answers] == [told(data), b"pong", told(b"second"), b"pong"]

    asyncio.run(scenario())


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_head_may_come_byte_by_byte(tmp_path: Path, framing: str) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()
            for _ in range(2):
                wire = framed(b"some bytes", framing)
                await client.send(*(wire[at : at + 1] for at in range(len(wire))), pause=True)
                assert (await client.answer()).body == told(b"some bytes")

    asyncio.run(scenario())


def test_a_client_that_asks_first_is_told_to_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()

            await client.send(upload_head("Content-Length: 5", "Expect: 100-continue"))
            status, _ = await client.head()
            await client.send(b"12345")

            assert status == 100
            assert (await client.answer()).body == told(b"12345")
            assert (await client.get()).body == b"pong"

    asyncio.run(scenario())


SMUGGLING = {
    "length and chunked": ("Content-Length: 5", "Transfer-Encoding: chunked"),
    "chunked and length": ("Transfer-Encoding: chunked", "Content-Length: 5"),
    "two lengths": ("Content-Length: 5", "Content-Length: 6"),
    "two equal lengths": ("Content-Length: 5", "Content-Length: 5"),
    "a list of lengths": ("Content-Length: 5, 6",),
    "a negative length": ("Content-Length: -5",),
    "a signed length": ("Content-Length: +5",),
    "a hexadecimal length": ("Content-Length: 0x5",),
    "an underscored length": ("Content-Length: 1_0",),
    "a fractional length": ("Content-Length: 5.0",),
    "a length beyond 64 bits": ("Content-Length: 99999999999999999999",),
    "an empty length": ("Content-Length: ",),
    "chunked that is not last": ("Transfer-Encoding: chunked, identity",),
    "an unknown coding": ("Transfer-Encoding: xchunked",),
    "a folded field": ("Content-Length: 5", "X-A: b", "\tc"),
    "a folded coding": ("Transfer-Encoding:", " chunked"),
    "a space before the colon": ("Content-Length : 5",),
    "a NUL in a field": ("Content-Length: 5", "X-A: b\x00c"),
    "a bare CR in a field": ("Content-Length: 5", "X-A: b\rc"),
    "a bare LF after a field": ("Content-Length: 5\nX-A: b",),
}


@pytest.mark.parametrize("read_by", READERS)
@pytest.mark.parametrize("fields", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_a_head_that_two_servers_could_read_differently_is_refused_and_the_connection_closes(
    tmp_path: Path, fields: tuple[str, ...], read_by: str
) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()
            inner = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

            await client.send(*halves(upload_head(*fields) + inner, read_by), pause=True)
            async with asyncio.timeout(5):
                answer = await client.answer()
                closed = await client.closed()

            assert answer.status == 400
            assert closed
            assert server.begun.empty()

    asyncio.run(scenario())


BROKEN_CHUNKS = [
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: a\nGET /smuggled HTTP/1.1\r\n\r\n",
    b"5;" + b"x" * 10_000 + b"\r\nhello\r\n0\r\n\r\n",
    b"zz\r\n",
]


def test_a_broken_chunk_is_refused_and_what_follows_is_never_a_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:

            async def outcome(broken: bytes) -> tuple[int, bool]:
                client = await server.client()
                await client.send(upload_head("Transfer-Encoding: chunked") + broken + PING)
                return (await client.answer()).status, await client.closed()

            async with asyncio.timeout(10):
                outcomes = await asyncio.gather(*map(outcome, BROKEN_CHUNKS))

            assert dict(zip(BROKEN_CHUNKS, outcomes, strict=True)) == dict.fromkeys(
                BROKEN_CHUNKS, (400, True)
            )
            assert server.begun.qsize() == len(BROKEN_CHUNKS)

    asyncio.run(scenario())


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_body_that_nobody_takes_does_not_block_the_next_request(
    tmp_path: Path, framing: str, size: int
) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()
            wire = framed(DATA[:size], framing).replace(UPLOAD.encode(), UPLOAD.encode() + b"?ignore=1", 1)

            sending = asyncio.create_task(client.send(wire + PING))
            async with asyncio.timeout(10):
                refused, pong = await client.answer(), await client.answer()
            await sending

            assert (refused.status, pong.body) == (404, b"pong")

    asyncio.run(scenario())


@pytest.mark.parametrize("fields", [("Content-Length: 1000000",), ("Transfer-Encoding: chunked",)])
@pytest.mark.parametrize("way", ["close", "abort"])
@pytest.mark.parametrize("read_by", READERS)
def test_a_client_that_leaves_in_the_middle_is_noticed_and_the_server_lives(
    tmp_path: Path, fields: tuple[str, ...], way: str, read_by: str
) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()
            wire = upload_head(*fields) + b"40000\r\n" + DATA[:100_000]
            await client.send(*halves(wire, read_by), pause=True)
            await server.begun.get()

            getattr(client, way)()

            async with asyncio.timeout(5):
                assert await server.disconnects.get()
            assert (await (await server.client()).get()).body == b"pong"

    asyncio.run(scenario())


def test_a_refusal_in_the_middle_of_a_body_reaches_the_client_before_the_connection_closes(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:

            async def push(framing: str, read_by: str) -> tuple[int, bytes, bool]:
                client = await server.client()
                wire = framed(DATA * 4, framing).replace(UPLOAD.encode(), UPLOAD.encode() + b"?limit=1000", 1)
                wire += PING if read_by == "thread" else b""  # aiohttp knows where the next request begins
                sending = asyncio.create_task(client.send(*halves(wire, read_by), pause=True))
                answer = await client.answer()
                await asyncio.wait([sending])
                sending.exception()  # the server may stop reading; what matters is that it answered
                return answer.status, answer.body, read_by == "aiohttp" or await client.closed()

            kinds = [(framing, read_by) for framing in ("length", "chunked") for read_by in READERS]
            async with asyncio.timeout(15):
                outcomes = await asyncio.gather(*(push(*kind) for kind in kinds))

            expected = dict.fromkeys(kinds, (413, b"That is too much", True))
            assert dict(zip(kinds, outcomes, strict=True)) == expected
            assert server.begun.qsize() == len(kinds)
            assert (await (await server.client()).get()).body == b"pong"

    asyncio.run(scenario())


def test_a_body_that_stalls_is_answered_and_the_connection_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "BODY_WINDOW_SECONDS", 0.2)

    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:

            async def stall(field: str, read_by: str) -> tuple[int, bool]:
                client = await server.client()
                await client.send(*halves(upload_head(field) + b"3\r\nabc\r\n", read_by), pause=True)
                return (await client.answer()).status, await client.closed()

            fields = ("Content-Length: 1000", "Transfer-Encoding: chunked")
            kinds = [(field, read_by) for field in fields for read_by in READERS]
            async with asyncio.timeout(10):
                outcomes = await asyncio.gather(*(stall(*kind) for kind in kinds))

            assert dict(zip(kinds, outcomes, strict=True)) == dict.fromkeys(kinds, (408, True))

    asyncio.run(scenario())


def test_a_slow_body_that_keeps_coming_is_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "BODY_WINDOW_SECONDS", 0.3)
    monkeypatch.setattr(pace, "BODY_MIN_BYTES_PER_WINDOW", 1)

    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()
            await client.send(upload_head("Content-Length: 8"))
            for byte in b"12345678":
                await asyncio.sleep(0.1)
                await client.send(bytes([byte]))

            assert (await client.answer()).body == told(b"12345678")

    asyncio.run(scenario())


def test_a_body_that_trickles_below_the_minimum_rate_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "BODY_WINDOW_SECONDS", 0.3)

    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()
            await client.send(upload_head("Content-Length: 100000"))
            for _ in range(4):
                await asyncio.sleep(0.05)
                await client.send(b"x")

            assert (await client.answer()).status == 408

    asyncio.run(scenario())


def test_stalled_uploads_hold_no_thread(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            stalled: list[Client] = []
            for _ in range(50):
                stalled.append(client := await server.client())
                await client.send(upload_head("Content-Length: 1000000") + DATA[:5_000])
            for _ in stalled:
                await server.begun.get()

            async with asyncio.timeout(5):
                fast = await server.client()
                await fast.send(framed(DATA, "length"))
                answer = await fast.answer()

            assert answer.body == told(DATA)
            for client in stalled:
                client.abort()
            for _ in stalled:
                await server.disconnects.get()

    asyncio.run(scenario())


def test_a_slow_sink_takes_the_bytes_at_its_own_pace(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            client = await server.client()
            wire = framed(DATA, "chunked").replace(UPLOAD.encode(), UPLOAD.encode() + b"?delay=0.02", 1)

            sending = asyncio.create_task(client.send(wire))
            answer = await client.answer()
            await sending

            assert answer.body == told(DATA)

    asyncio.run(scenario())


def test_many_uploads_at_once_do_not_mix(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:

            async def push(number: int) -> bool:
                client = await server.client()
                data = random.Random(number).randbytes(200_000 + number)
                pieces = cuts(framed(data, ("length", "chunked")[number % 2], number), number, 30_000)
                sending = asyncio.create_task(client.send(*pieces))
                answer = await client.answer()
                await sending
                return answer.body == told(data) and (await client.get()).body == b"pong"

            assert all(await asyncio.gather(*(push(number) for number in range(24))))

    asyncio.run(scenario())
