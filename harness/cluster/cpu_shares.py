"""Shares of this machine's CPU: as many trials at once as it has processors, of all processes.

A trial is judged by when things happen, so more at once would only be told apart by who got the
CPU. What a share is held for is the trial's decision; the locks are as in `leases`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import psutil

from harness import paths
from harness.cluster.leases import Waiting, say_to_stderr


def shares() -> int:
    """How many there are."""
    return psutil.cpu_count() or 1


@asynccontextmanager
async def cpu_share(
    *, whole: bool = False, tell: Callable[[str], None] = say_to_stderr
) -> AsyncIterator[Callable[[], None]]:
    """One share, or the whole machine, nobody else's while the body runs.

    The body is given a function that gives it back earlier. Waits without limit, and tells once
    that it does. Who waits for the whole machine keeps what has become free, and is not overtaken.
    """
    folder = paths.home() / "cpu"
    files = [folder / str(number) for number in range(shares())]
    waiting = Waiting("a share of this machine's CPU", list, wait=None, tell=tell)
    with ExitStack() as held:
        turnstile = await waiting.lock(folder / "turnstile", exclusive=True)
        try:
            if whole:
                for file in files:
                    held.callback((await waiting.lock(file, exclusive=True)).release)
            else:
                held.callback((await waiting.first_of(files)).release)
        finally:
            turnstile.release()
        yield held.close
