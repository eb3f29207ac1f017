"""A change that is under way is waited for, even by one who is cancelled.

What goes on after its caller was cancelled, such as a command in a thread, a script in a node or a
request on its way, would come after its own undoing, and stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def joined(change: Coroutine[Any, Any, T]) -> T:
    """The outcome of `change`, which runs to its end in any case.

    A cancellation in between is passed on then, so `change` must be bounded in time.
    """
    task = asyncio.ensure_future(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, so that nobody reports it as lost
        raise
