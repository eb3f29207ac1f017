"""Scopes that are opened in one task and closed in another: what a fixture's two halves need.

A fixture's set-up, the test and the fixture's end run as three tasks, but a task group or a
timeout must be left by the task that entered it. So a task of its own holds each scope.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

T = TypeVar("T")


class ScopeHolder:
    """Scopes that stay open until `close`, which leaves them newest first."""

    def __init__(self) -> None:
        self._open: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    async def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter a scope and return its value; raises what entering raises."""
        leave = asyncio.Event()
        entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def hold() -> None:
            async with manager as value:
                entered.set_result(value)
                await leave.wait()

        task = asyncio.create_task(hold())
        try:
            either: set[asyncio.Future[Any]] = {task, entered}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if not entered.done():
            await task
            raise AssertionError("a scope ended before it was entered")
        self._open.append((leave, task))
        return entered.result()

    async def close(self) -> None:
        """Leave all scopes; every one is left, then the first error is raised."""
        errors: list[BaseException] = []
        while self._open:
            leave, task = self._open.pop()
            leave.set()
            await asyncio.wait({task})
            if task.cancelled():
                continue
            if (error := task.exception()) is not None:
                errors.append(error)
        if errors:
            raise errors[0]
