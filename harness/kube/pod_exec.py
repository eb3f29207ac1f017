"""Running a command in a container through the API server's websocket `exec` subresource."""

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


@dataclass(frozen=True, kw_only=True)
class ExecResult:
    """What a command printed, and its exit code."""

    stdout: str
    stderr: str
    exit_code: int

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


async def run(
    wire: Wire,
    path: str,
    *,
    container: str | None,
    argv: Sequence[str],
    stdin: bytes | None,
    timeout: float,
) -> ExecResult:
    """Runs `argv` to its end. Raises `ApiError` if the request is refused, `ClusterError` if the
    command could not be started or did not end within `timeout` seconds (it may run on)."""
    params = [("command", word) for word in argv]
    params += [("stdout", "true"), ("stderr", "true")]
    if container is not None:
        params.append(("container", container))
    if stdin is not None:
        params.append(("stdin", "true"))
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
            remedy="Allow more time, or look at what the container is doing.",
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise wire.unreachable(f"EXEC {path}", error) from error


async def _converse(
    wire: Wire, path: str, params: list[tuple[str, str]], stdin: bytes | None
) -> ExecResult:
    output = {_STDOUT: bytearray(), _STDERR: bytearray()}
    status: dict[str, Any] | None = None
    # v5 adds a message that closes stdin; every API server since 1.30 speaks it.
    async with wire.session.ws_connect(
        wire.server + path,
        params=params,
        protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"),
        max_msg_size=0,
        **wire.extra,
    ) as socket:
        if stdin is not None:
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
        stdout=output[_STDOUT].decode("utf-8", errors="replace"),
        stderr=output[_STDERR].decode("utf-8", errors="replace"),
        exit_code=exit_code_of(status, path),
    )


def exit_code_of(status: dict[str, Any] | None, path: str) -> int:
    """The exit code in the closing Status; without one the command's end was not seen."""
    if status is None:
        raise ClusterError(
            f"the connection of the command in {path} ended before the command did",
            remedy="See whether the pod and its node are still there, then repeat.",
        )
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise ClusterError(
        f"the command in {path} could not be run: {status.get('message', 'no reason given')}",
        remedy="See whether the container runs and has that program.",
    )
