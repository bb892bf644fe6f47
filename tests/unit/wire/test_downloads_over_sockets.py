"""Bodies of downloads over real sockets: the same bytes in every mode, at any reader's pace."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.unit.wire.loopback import Client, Loopback

DATA = random.Random(9).randbytes(3_000_000)
MODES = ["mode=sendfile&", "mode=copy&", "mode=auto&", ""]  # the last: a source without a descriptor


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, len(DATA)), (0, 1), (1, 65_537), (2_999_999, 1), (1_234_567, 1_000_000), (0, 0)],
)
def test_every_mode_sends_exactly_the_range_and_the_connection_goes_on(
    tmp_path: Path, mode: str, offset: int, count: int
) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            server.file.write_bytes(DATA)
            client = await server.client()

            for _ in range(2):
                answer = await client.get(f"/file?{mode}offset={offset}&count={count}")
                assert (answer.status, answer.body == DATA[offset : offset + count]) == (200, True)
            assert (await client.get()).body == b"pong"

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", MODES)
def test_a_slow_reader_with_a_small_buffer_gets_every_byte(tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            server.file.write_bytes(DATA)
            client = await server.client(receive_buffer=4096)
            await client.send(
                f"GET /file?{mode}count={len(DATA)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            status, _ = await client.head()

            got = bytearray()
            chance = random.Random(3)
            while len(got) < len(DATA):
                got += await client.reader.read(chance.randint(1, 200_000))
                if chance.random() < 0.02:
                    await asyncio.sleep(0.03)  # longer than a thread waits for a socket

            assert status == 200
            assert got == DATA
            assert (await client.get()).body == b"pong"

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", MODES)
def test_requests_written_together_are_answered_in_order(tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            server.file.write_bytes(DATA)
            client = await server.client()
            ping = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
            wanted = f"GET /file?{mode}offset=7&count=2000000 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

            await client.send(ping + wanted + ping + wanted)
            answers = [await client.answer() for _ in range(4)]

            part = DATA[7:2_000_007]
            assert all(answer.body == wish for answer, wish in zip(answers, [b"pong", part] * 2, strict=True))

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", MODES)
def test_stalled_downloads_hold_no_thread(tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            with server.file.open("wb") as file:
                file.write(DATA)
                file.truncate(64 * 1024 * 1024)  # more than any socket buffer
            stalled: list[Client] = []
            for _ in range(50):
                stalled.append(client := await server.client(receive_buffer=4096))
                await client.send(
                    f"GET /file?{mode}count={2**26} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                )
            for _ in stalled:
                await server.begun.get()

            async with asyncio.timeout(10):
                fast = await server.client()
                answer = await fast.get(f"/file?{mode}count={len(DATA)}")

            assert answer.body == DATA
            for client in stalled:
                client.abort()

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", MODES)
def test_a_reader_that_leaves_in_the_middle_does_no_harm(tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            server.file.write_bytes(DATA)
            for _ in range(5):
                client = await server.client(receive_buffer=4096)
                await client.send(
                    f"GET /file?{mode}count={len(DATA)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                )
                await client.reader.readexactly(1000)
                client.abort()

            answer = await (await server.client()).get(f"/file?{mode}count={len(DATA)}")
            assert answer.body == DATA

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", MODES)
def test_bytes_that_end_early_end_the_connection_and_are_never_padded(tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        async with Loopback(tmp_path).serving() as server:
            server.file.write_bytes(DATA)
            client = await server.client()
            target = f"/file?{mode}offset=2000000&count=2000000"
            await client.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await client.head()

            async with asyncio.timeout(5):
                got = await client.rest()

            assert len(got) < 2_000_000
            assert DATA[2_000_000:].startswith(got)
            assert (await (await server.client()).get()).body == b"pong"

    asyncio.run(scenario())
