"""A process that dies at one of its numbered steps, in an instant of its own time.

A step is a boundary of what it does to the disk or to the world: before a record, after a part of
it, after the whole, after fsync, after a request was sent, after it was answered, before and after
a mark. What comes after the death (clean-up, error handling) is not carried out: a SIGKILL leaves
no time for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from harness.host.files import write_all as write
from harness.undo import ledger


class Death(BaseException):
    """The process is gone; nothing may catch it."""


class Steps:
    """Those that a process took, in order; at number `dies_at`, from 1, it dies."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.taken: list[str] = []
        self._dies_at = dies_at
        self.dead = False

    def take(self, name: str) -> None:
        """Come to a boundary. Raises `Death` there, and at whatever a dead process would do."""
        if self.dead:
            raise Death
        self.taken.append(name)
        if len(self.taken) == self._dies_at:
            self.dead = True
            raise Death(name)


class InstantLoop(asyncio.SelectorEventLoop):
    """Its time jumps to whatever is waited for next."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(process: Coroutine[Any, Any, None], at: dict[float, Callable[[], None]]) -> None:
    """The life of a process, to its end or its death; `at`: what happens elsewhere, by seconds."""

    async def living() -> None:
        loop = asyncio.get_running_loop()
        for when, happens in at.items():
            loop.call_later(when, happens)
        try:
            await process
        except Death:
            # Not raised out of the loop, which would leave its tasks behind.
            return

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(living())


def number_writes(monkeypatch: pytest.MonkeyPatch, steps: Callable[[], Steps]) -> None:
    """Make every write to a ledger, and every fsync of one, steps of whoever lives then."""

    def write_all(descriptor: int, data: bytes) -> None:
        what = "mark" if b'"done"' in data else "record"
        steps().take(f"{what} about to be written")
        half = len(data) // 2
        write(descriptor, data[:half])
        steps().take(f"{what} half written")
        write(descriptor, data[half:])
        steps().take(f"{what} written")

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if name.endswith(ledger.SUFFIX):
            steps().take("record on the disk")

    monkeypatch.setattr("harness.undo.ledger.write_all", write_all)
    monkeypatch.setattr(os, "fsync", fsync)
