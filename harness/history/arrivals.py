"""When an open-loop load means each of its requests to start, and what each of them asks for.

The plan is a pure function of rate, spacing, weights and seed, so that the generator that follows
it and the judgement that asks "how many were due between these two moments?" cannot disagree, even
when the generator was too starved to write anything down. Nothing here waits, sends or reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SECOND = 1_000_000_000
_BLOCK = 1 << 16

Arrivals = Literal["constant", "poisson"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Arrivals at `rate` per second: offsets in nanoseconds from arrival 0, which is at offset 0.

    `constant` spaces them evenly, `poisson` draws exponential gaps, as independent users do.
    `weights` are the relative shares of the endpoints, by index. The random numbers are Python's
    own (`random.Random`), whose sequence for a seed is documented to be stable.
    """

    rate: float
    arrivals: Arrivals = "constant"
    seed: int = 0
    weights: tuple[float, ...] = (1.0,)

    def blocks(self, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int16]]]:
        """Endless blocks of `size` arrivals: offsets (ns, ascending) and endpoint indexes."""
        picks = Random(f"endpoints {self.seed}")
        shares = np.cumsum(self.weights) / math.fsum(self.weights)
        for offsets in self._offsets(size):
            if len(self.weights) == 1:
                endpoints = np.zeros(size, dtype=np.int16)
            else:
                draws = np.array([picks.random() for _ in range(size)])
                # The last share can be a rounding error below 1: clip instead of an index too far.
                index = np.searchsorted(shares, draws, side="right")
                endpoints = np.minimum(index, len(self.weights) - 1).astype(np.int16)
            yield offsets, endpoints

    def offsets(self, until: int) -> NDArray[np.int64]:
        """Offsets of all arrivals before `until` (ns)."""
        if until <= 0:
            return np.empty(0, dtype=np.int64)
        expected = int(until * self.rate / SECOND) + 1
        parts = []
        for block in self._offsets(min(_BLOCK, expected + 1)):
            parts.append(block)
            if block[-1] >= until:
                break
        whole = np.concatenate(parts)
        return whole[: int(np.searchsorted(whole, until, side="left"))]

    def _offsets(self, size: int) -> Iterator[NDArray[np.int64]]:
        if self.arrivals == "constant":
            first = 0
            while True:
                steps = np.arange(first, first + size, dtype=np.float64)
                yield (steps * SECOND / self.rate).astype(np.int64)
                first += size
        gaps = Random(f"arrivals {self.seed}")
        last = 0
        begun = False
        while True:
            draws = np.array([gaps.random() for _ in range(size)])
            # Whole nanoseconds before summing: the same plan whatever the size of the blocks.
            spacing = (-np.log1p(-draws) * (SECOND / self.rate)).astype(np.int64)
            if not begun:
                spacing[0] = 0
                begun = True
            block = last + np.cumsum(spacing)
            last = int(block[-1])
            yield block


@dataclass(kw_only=True)
class Due:
    """How many arrivals of a schedule that began at `origin` (ns) fell due in a stretch of time.

    Remembers the offsets that it has worked out. `stop` (ns) is when the arrivals ended, None
    while they go on.
    """

    schedule: Schedule
    origin: int
    stop: int | None = None
    _offsets: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _horizon: int = 0

    def before(self, t: int) -> int:
        """Arrivals that were due before monotonic time `t` (ns)."""
        if self.stop is not None:
            t = min(t, self.stop)
        offset = t - self.origin
        if offset > self._horizon:
            # Twice as far as asked: a live history asks again and again for a little more.
            self._horizon = max(2 * offset, 10 * SECOND)
            self._offsets = self.schedule.offsets(self._horizon)
        return int(np.searchsorted(self._offsets, offset, side="left"))


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the generator declared at its start.

    `started`: monotonic ns of arrival 0. `rate` in requests/s (closed loop: number of users).
    `duration_s`: after so long it stops by itself. `priority`: what the generator could get.
    """

    started: int
    endpoints: tuple[str, ...]
    weights: tuple[float, ...]
    rate: float
    arrivals: Arrivals
    seed: int
    open_loop: bool
    timeout_s: float
    duration_s: float | None = None
    priority: str = ""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Header:
        """From the file; keys of later versions are left alone."""
        known = {k: data[k] for k in cls.__dataclass_fields__ if k in data}
        known["endpoints"], known["weights"] = tuple(data["endpoints"]), tuple(data["weights"])
        return cls(**known)

    def due(self) -> Due | None:
        """The arrivals that were declared; None for a closed loop, which declares none."""
        if not self.open_loop:
            return None
        schedule = Schedule(
            rate=self.rate, arrivals=self.arrivals, seed=self.seed, weights=self.weights
        )
        limit = None if self.duration_s is None else int(self.duration_s * SECOND)
        return Due(schedule=schedule, origin=self.started, stop=limit and self.started + limit)
