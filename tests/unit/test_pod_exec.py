"""Commands in containers by websocket: what comes back, and every way in which nothing does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from fake_apiserver import FakeApiServer, fake_apiserver, status

from harness.errors import ClusterError
from harness.kube.client import ApiError, Kube, UnreachableError
from harness.kube.pod_exec import ExecResult, NotStartedError

PATH = "/api/v1/namespaces/ns/pods/p/exec"
OUT, ERR, STATUS, CLOSE = b"\x01", b"\x02", b"\x03", b"\xff"
EXITED = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}}


def said(**end: Any) -> bytes:
    return STATUS + json.dumps(end).encode()


def plays(server: FakeApiServer, frames: Sequence[bytes], *, ends: bool = True) -> list[bytes]:
    """The server takes standard input, then sends these; what it was given."""
    given: list[bytes] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            given.append(message.data)
            if message.data[:1] == CLOSE:
                break
        for frame in frames:
            await socket.send_bytes(frame)
        if not ends:
            await asyncio.Event().wait()
        return socket

    server.on(PATH, handler)
    return given


async def run(kube: Kube, **how: Any) -> ExecResult:
    return await kube.execute("ns", "p", "app", ["sh", "-c", "exit 3"], stdin=b"given", **how)


@pytest.mark.asyncio
class TestExec:
    async def test_output_comes_in_pieces_and_the_code_at_the_end(self) -> None:
        async with fake_apiserver() as (server, kube):
            frames = [OUT + b"o", ERR + b"e", OUT + b"ut", b"", ERR + b"rr", said(**EXITED)]
            given = plays(server, frames)
            assert await run(kube) == ExecResult(stdout=b"out", stderr=b"err", code=3)
            assert given == [b"\x00given", CLOSE + b"\x00"]
            asked = server.requests[-1].query
            assert asked.getall("command") == ["sh", "-c", "exit 3"]
            assert (asked["container"], asked["stdin"], asked["stdout"]) == ("app", "true", "true")

    async def test_success_is_code_0(self) -> None:
        async with fake_apiserver() as (server, kube):
            plays(server, [said(status="Success")])
            assert (await run(kube)).code == 0

    async def test_a_program_that_is_not_there_was_not_started(self) -> None:
        async with fake_apiserver() as (server, kube):
            plays(server, [said(status="Failure", message='exec: "sh": not found in $PATH')])
            with pytest.raises(NotStartedError, match="not found in"):
                await run(kube)

    async def test_without_a_code_the_end_was_not_seen(self) -> None:
        async with fake_apiserver() as (server, kube):
            plays(server, [OUT + b"half"])
            with pytest.raises(ClusterError, match="ended before the command did"):
                await run(kube)

    async def test_a_command_that_does_not_end_is_given_up(self) -> None:
        async with fake_apiserver() as (server, kube):
            plays(server, [OUT + b"half"], ends=False)
            with pytest.raises(ClusterError, match="did not end within"):
                await run(kube, timeout=0.2)

    async def test_a_refusal_is_told_in_the_servers_words(self) -> None:
        async with fake_apiserver() as (server, kube):
            server.answer(PATH, status(404, "NotFound", 'pods "p" not found'), code=404)
            with pytest.raises(ApiError, match='pods "p" not found') as caught:
                await run(kube)
            assert caught.value.not_found

    async def test_a_server_that_is_gone_is_unreachable(self) -> None:
        async with fake_apiserver() as (server, kube):
            plays(server, [])
            await kube.resource("v1", "Pod")
            await server.kill()
            with pytest.raises(UnreachableError):
                await run(kube)
