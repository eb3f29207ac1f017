"""How long a run will take: what is expected of each trial, at the pace of those that are over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.runs.options import Job

REMOVAL_S = 12.0
"""The last trial is removed beside nobody."""

Name = tuple[str, str]
"""A trial's scenario and variant."""


@dataclass
class _Trial:
    """`begun` and `over` are seconds of the run's clock, None while they have not come."""

    seconds: float
    alone: bool
    begun: float | None = None
    over: float | None = None


class Outlook:
    """Told when trials begin and give their share of the CPU back; all times in seconds."""

    def __init__(self, jobs: Sequence[Job], at_once: int) -> None:
        self._at_once = at_once
        self._trials = {
            (job.plan.scenario.slug, job.plan.variant): _Trial(
                job.seconds, job.plan.placement.exclusive
            )
            for job in jobs
        }

    def begin(self, name: Name, now: float) -> None:
        """A trial has begun."""
        self._trials[name].begun = now

    def over(self, name: Name, now: float) -> None:
        """A trial needs nothing more of the machine."""
        self._trials[name].over = now

    def again(self, name: Name) -> None:
        """A trial will be made once more, alone."""
        self._trials[name] = _Trial(self._trials[name].seconds, alone=True)

    def left(self, now: float) -> float:
        """Until the whole run is over."""
        pace = self._pace()
        rest: dict[bool, list[float]] = {False: [0.0], True: [0.0]}
        for each in self._trials.values():
            if each.over is None:
                passed = 0.0 if each.begun is None else now - each.begun
                rest[each.alone].append(max(0.0, each.seconds * pace - passed))
        beside = max(max(rest[False]), sum(rest[False]) / self._at_once)
        return beside + sum(rest[True]) + REMOVAL_S

    def _pace(self) -> float:
        """Seconds that a trial takes for each that was expected; one of average length that keeps
        to what was expected is counted in, so that a first odd one does not decide."""
        took = expected = sum(e.seconds for e in self._trials.values()) / len(self._trials)
        for each in self._trials.values():
            if each.begun is not None and each.over is not None:
                took += each.over - each.begun
                expected += each.seconds
        return took / expected
