"""Logs of containers that ended, fetched the moment their end is seen.

The kubelet keeps one dead container per container name, so these are gone with the next restart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from harness.kube.background import background
from harness.kube.changes import Change
from harness.kube.client import ApiError, Kube, Obj, UnreachableError

TAIL_LINES = 200
LIMIT_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Crash:
    """A container that ended and was, or would be, started again.

    `restarts` is its restartCount as seen with it; `previous`: the API calls it the previous one.
    """

    namespace: str
    pod: str
    pod_uid: str
    container: str
    container_id: str
    restarts: int
    exit_code: int
    reason: str
    previous: bool


@dataclass(frozen=True, kw_only=True)
class CrashLog:
    """The end of a container's log: at most its last 200 lines. Empty, with `missing` giving the
    reason, if it could not be had. The time is of the fetch."""

    crash: Crash
    text: str
    missing: str
    monotonic_ns: int


class CrashLogs:
    """Feed it every `Change`; each crash's log is handed on once. Made by `crash_logs`."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str, str]] = set()
        self._queue: asyncio.Queue[Crash] = asyncio.Queue()

    def feed(self, change: Change) -> None:
        if change.kind != "Pod":
            return
        for crash in crashes(change.object):
            key = (crash.pod_uid, crash.container, crash.container_id)
            if key not in self._seen:
                self._seen.add(key)
                self._queue.put_nowait(crash)

    async def settled(self) -> None:
        """Returns when every crash seen so far has its log."""
        await self._queue.join()

    async def run(self, kube: Kube, on_log: Callable[[CrashLog], None]) -> None:
        while True:
            crash = await self._queue.get()
            on_log(await _fetch(kube, crash))
            self._queue.task_done()


@asynccontextmanager
async def crash_logs(kube: Kube, on_log: Callable[[CrashLog], None]) -> AsyncIterator[CrashLogs]:
    """Fetches in the background for the length of the scope; an error of `on_log` ends it."""
    logs = CrashLogs()
    async with background(logs.run(kube, on_log)):
        yield logs


def crashes(pod: Obj) -> Iterator[Crash]:
    """The containers of a pod that have an ended run, init containers included.

    That is the last run of those started again. Of pods that restart nothing: those that failed.
    """
    status = pod.get("status") or {}
    never = pod["spec"].get("restartPolicy") == "Never"
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or []:
            last = (container.get("lastState") or {}).get("terminated")
            now = (container.get("state") or {}).get("terminated")
            ended = last or (now if never and now and now["exitCode"] != 0 else None)
            if ended is None:
                continue
            restarts = int(container.get("restartCount") or 0)
            yield Crash(
                namespace=pod["metadata"]["namespace"],
                pod=pod["metadata"]["name"],
                pod_uid=pod["metadata"]["uid"],
                container=container["name"],
                # A run whose end the kubelet had to make up has no ID.
                container_id=ended.get("containerID") or f"restart {restarts}",
                restarts=restarts,
                exit_code=int(ended["exitCode"]),
                reason=str(ended.get("reason") or ""),
                previous=last is not None,
            )


async def _fetch(kube: Kube, crash: Crash) -> CrashLog:
    text, missing = "", ""
    try:
        text = await kube.logs(
            crash.namespace,
            crash.pod,
            crash.container,
            previous=crash.previous,
            tail=TAIL_LINES,
            limit_bytes=LIMIT_BYTES,
        )
    except (ApiError, UnreachableError) as error:
        missing = error.message
    return CrashLog(crash=crash, text=text, missing=missing, monotonic_ns=time.monotonic_ns())
