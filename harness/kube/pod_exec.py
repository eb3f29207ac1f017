"""A command in a container, through the API server's websocket `exec` subresource.

It runs as the container's own processes do: same user, capabilities, filters and files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from harness.errors import ClusterError
from harness.kube.responses import Answer, error_of
from harness.kube.transport import Wire

_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
# v5 added the message that closes stdin; every API server since 1.30 speaks it.
_PROTOCOL = "v5.channel.k8s.io"


class NotStartedError(ClusterError):
    """The container has no such program, or is none that runs."""


@dataclass(frozen=True, kw_only=True)
class ExecResult:
    """What a command printed, and the code that it exited with."""

    stdout: bytes
    stderr: bytes
    code: int


async def run(
    wire: Wire,
    path: str,
    *,
    container: str,
    argv: Sequence[str],
    stdin: bytes,
    timeout: float,
) -> ExecResult:
    """Run `argv` to its end. Raises `ApiError` if the request is refused, `NotStartedError`, or
    `ClusterError` if it did not end within `timeout` seconds (it may run on)."""
    params = [("container", container), *(("command", word) for word in argv)]
    params += [(stream, "true") for stream in ("stdin", "stdout", "stderr")]
    try:
        async with asyncio.timeout(timeout):
            return await _converse(wire, path, params, stdin)
    except aiohttp.WSServerHandshakeError as refused:
        # The handshake's error carries no body; the same request as plain HTTP gets the Status.
        answer = await wire.request("GET", path, params=params, retry=False, raise_for_status=False)
        if answer.status < 400:
            answer = Answer(status=refused.status, body=refused.message.encode())
        raise error_of(f"EXEC {path}", answer) from refused
    except TimeoutError as error:
        raise ClusterError(
            f"`{' '.join(argv)}` in {path} did not end within {timeout:g} s",
            remedy="look at what the container is doing",
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise wire.unreachable(f"EXEC {path}", error) from error


async def _converse(
    wire: Wire, path: str, params: list[tuple[str, str]], stdin: bytes
) -> ExecResult:
    output = {_STDOUT: bytearray(), _STDERR: bytearray()}
    status: dict[str, Any] | None = None
    async with wire.session.ws_connect(
        wire.server + path, params=params, protocols=(_PROTOCOL,), max_msg_size=0, **wire.extra
    ) as socket:
        await socket.send_bytes(bytes([_STDIN]) + stdin)
        await socket.send_bytes(bytes([_CLOSE, _STDIN]))
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel in output:
                output[channel] += data
            elif channel == _ERROR and data:
                status = orjson.loads(data)
    return ExecResult(
        stdout=bytes(output[_STDOUT]),
        stderr=bytes(output[_STDERR]),
        code=_exit_code(status, path),
    )


def _exit_code(status: dict[str, Any] | None, path: str) -> int:
    """The exit code in the closing Status; without one the command's end was not seen."""
    if status is None:
        raise ClusterError(
            f"the connection of the command in {path} ended before the command did",
            remedy="see whether the pod and its node are still there, then repeat",
        )
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise NotStartedError(
        f"the command in {path} could not be run: {status.get('message', 'no reason given')}",
        remedy="see whether the container runs and has that program",
    )
