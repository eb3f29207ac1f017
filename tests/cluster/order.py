"""In which order the injection of a fault made records durable and changed the world, really.

Wrapped are the calls that every change ends in: fsync, requests that are no GET, commands in pods
and of the container engine. What other tasks do meanwhile (measuring, watching) is not counted.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from harness.faults.base import Fault, FaultContext
from harness.kube import pod_exec
from harness.kube.transport import Wire
from harness.undo.ledger import SUFFIX

ON_DISK = "a record is on the disk"

_seen: ContextVar[list[str] | None] = ContextVar("seen", default=None)


@contextmanager
def recorded_first(fault: Fault) -> Iterator[None]:
    """The injection in this scope changes something, and has made a record durable before that."""
    seen: list[str] = []
    inject = type(fault).inject

    async def traced(self: Fault, ctx: FaultContext) -> None:
        token = _seen.set(seen)
        try:
            await inject(self, ctx)
        finally:
            _seen.reset(token)

    with pytest.MonkeyPatch.context() as patch:
        _watch(patch)
        patch.setattr(type(fault), "inject", traced)
        yield
    assert seen[0] == ON_DISK, f"changed before it was written down: {seen}"
    assert len(seen) > 1, "no change was seen"


def _watch(patch: pytest.MonkeyPatch) -> None:
    fsync, once = os.fsync, Wire._once
    run, execute = subprocess.run, asyncio.create_subprocess_exec
    in_pod = pod_exec.run

    def traced_fsync(descriptor: int) -> None:
        fsync(descriptor)
        if Path(f"/proc/self/fd/{descriptor}").readlink().name.endswith(SUFFIX):
            _note(ON_DISK)

    async def traced_once(self: Wire, method: str, path: str, *rest: Any) -> Any:
        if method != "GET":
            _note(f"{method} {path}")
        return await once(self, method, path, *rest)

    async def traced_in_pod(wire: Wire, path: str, **named: Any) -> Any:
        _note(f"EXEC {path}")
        return await in_pod(wire, path, **named)

    def traced_run(words: Sequence[str], *rest: Any, **named: Any) -> Any:
        _command(words)
        return run(words, *rest, **named)

    async def traced_execute(*words: str, **named: Any) -> Any:
        _command(words)
        return await execute(*words, **named)

    patch.setattr(os, "fsync", traced_fsync)
    patch.setattr(Wire, "_once", traced_once)
    patch.setattr(pod_exec, "run", traced_in_pod)
    patch.setattr(subprocess, "run", traced_run)
    patch.setattr(asyncio, "create_subprocess_exec", traced_execute)


def _command(words: Sequence[str]) -> None:
    if words[0] == "docker":
        _note(" ".join(words[:4]))


def _note(what: str) -> None:
    seen = _seen.get()
    if seen is not None:
        seen.append(what)
