"""What can be broken while the service runs, and how it heals.

Everything here is called from the admin thread and acts on the event loop or on memory. Each knob
ends by itself after its seconds, so that a harness that died leaves nothing broken for long, and
`reset` ends all of them at once. Static knobs are in `settings`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import dataclass

from sampleservice.memory import Ballast

log = logging.getLogger(__name__)

GROWTH = "growth"
_STEP_SECONDS = 0.25


@dataclass(frozen=True)
class Limits:
    """Seconds a knob stays on: when none are given, and at most."""

    default: float
    most: float


LIMITS = {
    "deadlock": Limits(default=600, most=3600),
    "hang": Limits(default=10, most=300),
    "memory": Limits(default=300, most=3600),
}


class Knobs:
    """The switches of one process. Give it the loop once it runs (`attach`)."""

    def __init__(self, ballast: Ballast) -> None:
        self._ballast = ballast
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}
        self._stalls: list[threading.Event] = []
        self._growth: threading.Event | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on `stall` acts on this loop."""
        self._loop = loop

    def stall(self, name: str, seconds: float) -> None:
        """Block the event loop: every request hangs, signals too, the process stays alive.

        The loop waits for an event that only this object sets, as a thread in a deadlock waits for
        a lock that nobody will release: no CPU is used and only `reset` or the time ends it.
        """
        if self._loop is None:
            raise RuntimeError("the event loop does not run yet")
        released = threading.Event()
        with self._lock:
            self._stalls.append(released)
        self._begin(name, seconds)
        self._loop.call_soon_threadsafe(self._block, name, released, seconds)

    def _block(self, name: str, released: threading.Event, seconds: float) -> None:
        log.warning("knob %s: the event loop stops", name)
        released.wait(seconds)
        with self._lock:
            if released in self._stalls:
                self._stalls.remove(released)
            self._ends.pop(name, None)
        log.warning("knob %s: the event loop goes on", name)

    def grow(self, mb_per_second: float, limit_mb: float | None, seconds: float) -> None:
        """Take touched memory at a rate, up to a limit, and give it back after `seconds`."""
        stop = threading.Event()
        with self._lock:
            if self._growth is not None:
                self._growth.set()
            self._growth = stop
        self._begin("memory", seconds)
        args = (stop, mb_per_second, limit_mb, seconds)
        threading.Thread(target=self._grow, args=args, name="memory-growth", daemon=True).start()

    def _grow(
        self, stop: threading.Event, mb_per_second: float, limit_mb: float | None, seconds: float
    ) -> None:
        end, held, step = time.monotonic() + seconds, 0.0, mb_per_second * _STEP_SECONDS
        name = f"{GROWTH}-{id(stop)}"
        while (left := end - time.monotonic()) > 0 and not stop.wait(min(_STEP_SECONDS, left)):
            room = step if limit_mb is None else min(step, limit_mb - held)
            if room > 0:
                self._ballast.add(name, room)
                held += room
        self._ballast.free(name)
        with self._lock:
            if self._growth is stop:
                self._growth = None
                self._ends.pop("memory", None)

    def reset(self) -> None:
        """End every knob now."""
        with self._lock:
            for released in self._stalls:
                released.set()
            self._stalls.clear()
            if self._growth is not None:
                self._growth.set()
                self._growth = None
            self._ends.clear()

    def active(self) -> dict[str, float]:
        """Knobs that are on, with the seconds they still have."""
        now = time.monotonic()
        with self._lock:
            return {name: round(end - now, 1) for name, end in self._ends.items() if end > now}

    def _begin(self, name: str, seconds: float) -> None:
        with self._lock:
            self._ends[name] = time.monotonic() + seconds
