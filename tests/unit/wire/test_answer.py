"""An answer in one write, over a real socket: exact bytes for every kind of request, and no way out of a header."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from homeport.wire.answer import Answer
from homeport.wire.connection import Server


def exchanged(sent: bytes, answer: Answer, *, wait: float = 5) -> bytes:
    """What a client that sends `sent`, and then no more, gets from a server that always gives `answer`."""

    async def scenario() -> bytes:
        async def handler(_: web.BaseRequest) -> web.StreamResponse:
            return answer

        server = await asyncio.get_running_loop().create_server(
            Server(handler, lambda request, response: None), "127.0.0.1", 0
        )
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(sent)
        writer.write_eof()
        received = await asyncio.wait_for(reader.read(), wait)
        writer.close()
        server.close()
        return received

    return asyncio.run(scenario())


def lines(received: bytes) -> set[str]:
    """The head's lines but for the date."""
    head = received.partition(b"\r\n\r\n")[0].decode()
    return {line for line in head.split("\r\n") if not line.startswith("Date: ")}


def test_a_body_is_sent_with_its_length_and_the_connection_stays() -> None:
    received = exchanged(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Answer(201, {"X-One": "1"}, b"body"))

    assert lines(received) == {"HTTP/1.1 201 Created", "X-One: 1", "Content-Length: 4"}
    assert received.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize(
    ("answer", "length"),
    [
        (Answer(200, {"Content-Length": "77"}), {"Content-Length: 77"}),
        (Answer(200, {}, b"body"), {"Content-Length: 4"}),
        (Answer(404), set()),
    ],
)
def test_a_head_answer_states_the_length_and_sends_no_body(answer: Answer, length: set[str]) -> None:
    received = exchanged(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", answer)

    assert {line for line in lines(received) if line.startswith("Content-Length")} == length
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body_state_no_length(status: int) -> None:
    received = exchanged(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Answer(status, {"Content-Length": "5"}, b"never")
    )

    assert received.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in received


@pytest.mark.parametrize(
    ("version", "asked", "told"),
    [
        ("1.0", "", set()),
        ("1.0", "Connection: keep-alive\r\n", {"Connection: keep-alive"}),
        ("1.1", "", set()),
        ("1.1", "Connection: close\r\n", {"Connection: close"}),
    ],
)
def test_whether_the_connection_stays_is_told_in_the_words_of_the_clients_version(
    version: str, asked: str, told: set[str]
) -> None:
    received = exchanged(f"GET / HTTP/{version}\r\nHost: a\r\n{asked}\r\n".encode(), Answer(200, {}, b"x"))

    assert f"HTTP/{version} 200 OK" in lines(received)
    assert {line for line in lines(received) if line.startswith("Connection")} == told


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb"])
def test_a_value_cannot_break_out_of_its_header(value: str) -> None:
    received = exchanged(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Answer(200, {"X-Name": value}, b"x"))

    assert b"X-Evil" not in received
    assert b" 200 " not in received


def test_a_client_that_does_not_read_makes_the_server_hold_few_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = 0
    monkeypatch.setattr("homeport.wire.answer._STALL_SECONDS", 0.3)

    async def scenario() -> None:
        async def handler(_: web.BaseRequest) -> web.StreamResponse:
            nonlocal made
            made += 1
            return Answer(200, {}, bytes(1024 * 1024))

        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server(handler, lambda *_: None), "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()[:2]) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
            await asyncio.sleep(1)  # three times as long as the server waits for it
        server.close()

    asyncio.run(scenario())

    assert 0 < made < 20
