"""What every command needs: coroutines that end well on Ctrl-C and SIGTERM, and consoles.

Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import psutil
from rich.console import Console

T = TypeVar("T")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Interrupted(BaseException):
    """A signal ended the command after everything it had begun was undone; nobody's error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def until_done(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; a first SIGINT or SIGTERM cancels it, later ones change nothing.

    Raises `Interrupted` after cancellation, and whatever the coroutine raises.
    """
    return asyncio.run(_until_signal(work))


async def _until_signal(work: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def stop(number: int) -> None:
        if received:
            err.print("still undoing what was begun; this takes a moment")
            return
        received.append(number)
        err.print(f"\n{signal.Signals(number).name}: undoing what was begun")
        task.cancel()
        _end_helpers()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise Interrupted(received[0]) from None
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _end_helpers() -> None:
    """End builds and downloads that threads wait for; children with a session of their own (the
    engine, cancellable commands) are left to those who started them."""
    session = os.getsid(0)
    for child in psutil.Process().children():
        try:
            if os.getsid(child.pid) == session:
                child.terminate()
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue  # it ended by itself in between
