"""Whether somebody behind the entry answers, before any request of the load counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from harness.trial.entry import entry_answers

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ask(handler: Handler, within: float) -> bool:
    async def serve() -> bool:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await entry_answers(f"http://127.0.0.1:{port}", within=within)

    return asyncio.run(serve())


@pytest.mark.parametrize("status", ["200 OK", "502 Bad Gateway"])
def test_any_answer_counts(status: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        writer.close()

    assert ask(answer, within=5)


def test_it_is_asked_again_until_the_rules_are_there() -> None:
    times = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal times
        times += 1
        await reader.readline()
        if times > 3:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    assert ask(answer, within=5)
    assert times == 4


def test_connection_that_is_taken_and_dropped_is_no_answer() -> None:
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    assert not ask(drop, within=0.5)


def test_nobody_listens() -> None:
    assert not asyncio.run(entry_answers("http://127.0.0.1:1", within=0.3))
