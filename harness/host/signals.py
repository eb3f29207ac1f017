"""Signals that end a process: what was begun is undone first, and no second signal stops that.

Ctrl-C, SIGTERM and the loss of the terminal (SIGHUP) are the same to us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psutil

T = TypeVar("T")
Say = Callable[[str], None]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_GOES_ON = "still undoing what was begun; this takes a moment"


class Interrupted(BaseException):
    """A signal ended the work after everything it had begun was undone; nobody's error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def until_done(work: Coroutine[Any, Any, T], say: Say) -> T:
    """Run a coroutine; a first signal cancels it, later ones are told that undoing goes on.

    Raises `Interrupted` after cancellation, and whatever the coroutine raises.
    """
    return asyncio.run(_until_signal(work, say))


async def _until_signal(work: Coroutine[Any, Any, T], say: Say) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def stop(number: int) -> None:
        first = not received
        received.append(number)
        if first:
            task.cancel()
        _tell(say, number, "undoing what was begun" if first else _GOES_ON)
        if first:
            _end_helpers()

    before = {number: signal.getsignal(number) for number in _heeded()}
    for number in before:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise Interrupted(received[0]) from None
        raise
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


@contextmanager
def deferred(say: Say) -> Iterator[None]:
    """For undoing in a loop of somebody else's: a signal that comes meanwhile is told that undoing
    goes on, and takes effect when the body is left."""
    received: list[int] = []

    def later(number: int, _: Any) -> None:
        received.append(number)
        _tell(say, number, _GOES_ON)

    before = {number: signal.signal(number, later) for number in _heeded(of_others=True)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


@contextmanager
def as_interrupt() -> Iterator[None]:
    """While the body runs, the other signals are what Ctrl-C is: whoever handles that undoes.

    Handlers of somebody else's are left alone. A shell starts what runs in the background with
    Ctrl-C ignored, and asyncio leaves it so; meanwhile it is heeded, or none of them would be.
    """
    others = [number for number in _heeded() if number != signal.SIGINT]
    ignored = bool(others) and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in others:
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number in others:
            signal.signal(number, signal.SIG_DFL)
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _heeded(*, of_others: bool = False) -> list[signal.Signals]:
    """The signals to take over: all but those that somebody else handles (unless `of_others`) and,
    as `nohup` asks, an ignored SIGHUP. None in threads, which Python lets handle no signals."""
    if threading.current_thread() is not threading.main_thread():
        return []
    found = [signal.SIGINT]
    for number in (signal.SIGTERM, signal.SIGHUP):
        handler = signal.getsignal(number)
        if handler is signal.SIG_DFL or (of_others and callable(handler)):
            found.append(number)
    return found


def _tell(say: Say, number: int, text: str) -> None:
    if number == signal.SIGHUP:
        _terminal_to_nowhere()
    # What is said must not stop the undoing.
    with contextlib.suppress(OSError):
        say(f"{signal.Signals(number).name}: {text}")


def _terminal_to_nowhere() -> None:
    """The terminal is gone, and whatever is printed to it would fail in the midst of undoing."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(nowhere, descriptor)
    os.close(nowhere)


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
