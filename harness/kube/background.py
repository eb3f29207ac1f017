"""Structured concurrency in one place: background work that ends with its scope, and fails it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.TaskGroup]:
    """Runs `work` beside the body; what still runs when the body ends is cancelled and awaited.

    An error of the work cancels the body. A single error leaves as itself, not as a group of one,
    so that the caller can catch what the body raised by its own type.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
            try:
                yield group
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) == 1 and not isinstance(
            failures.exceptions[0], BaseExceptionGroup
        ):
            raise failures.exceptions[0] from failures.exceptions[0].__cause__
        raise
