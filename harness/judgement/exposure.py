"""For how long a fault was felt, and for how long it must be felt before survival means anything.

Pure. A measurement stands for the time that it took; between two of them the fault is taken to have
gone on only if they are as close as a trial measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.declare import Exposure, Objective
from harness.history.history import History
from harness.history.records import SECOND, Measurement, Window

SAFETY = 1.5
"""A fault must be felt this many times longer than the slowest failure needs."""
LONGEST_GAP_S = 10.0
"""A trial pauses for a second between two measurements; on a busy machine, and where it has others
to take, it comes back to the same one within this time."""


@dataclass(frozen=True)
class Felt:
    """How long a fault was felt without a break, in seconds, and what was asked and achieved.

    `since` is when the longest stretch began. `at_work` is from when on the fault may have been at
    work, as measurements go: what broke earlier was not its doing. Both None if it never was felt.
    """

    fault: int
    seconds: float
    since: int | None
    last: Measurement | None
    at_work: int | None = None

    @property
    def ever(self) -> bool:
        """True if at least one measurement after injection felt the fault."""
        return self.since is not None


def exposure_needed(history: History, objectives: Sequence[Objective], fault: int) -> Exposure:
    """The longest exposure to a fault that an objective needs, times `SAFETY`."""
    asked = [
        (e, f"{o.name}: {e.why}")
        for o in objectives
        if (e := o.exposure(history.facts, history.faults[fault])) is not None
    ]
    if not asked:
        return Exposure(5.0, "no objective names a time; 5 s so that the fault is seen at work")
    worst, why = max(asked, key=lambda pair: pair[0].seconds)
    return Exposure(worst.seconds * SAFETY, f"({why}) x {SAFETY:g}")


def exposures(history: History, objectives: Sequence[Objective]) -> tuple[Exposure, ...]:
    """What is needed of each fault, in the scenario's order."""
    return tuple(exposure_needed(history, objectives, i) for i in range(len(history.faults)))


def felt(history: History, fault: int) -> Felt:
    """The longest unbroken stretch of felt measurements of a fault between injection and heal.

    A fault that the subject cured by itself counts on: that is what it was to be exposed to.
    """
    best = Felt(fault, 0.0, None, None)
    measured = measured_under_fault(history, fault)
    first = next((m.began for m in measured if m.felt), 0)
    at_work = first - int(LONGEST_GAP_S * SECOND)
    since: int | None = None
    before = first
    for m in measured:
        if m.began - before > LONGEST_GAP_S * SECOND:
            since = None
        before = m.t
        if not m.felt and not (m.cured and since is not None):
            since = None
            continue
        since = m.t if since is None else since
        seconds = (m.t - since) / SECOND
        if best.since is None or seconds >= best.seconds:
            best = Felt(fault, seconds, since, m if m.felt else best.last, at_work)
    return best


def measured_under_fault(history: History, fault: int) -> list[Measurement]:
    """The measurements of a fault from its injection to the heal."""
    injected, healing = history.injected_at, history.phase("heal")
    if injected is None:
        return []
    window = Window(injected, healing.begin if healing else None)
    return [m for m in history.measurements if m.fault == fault and window.holds(m.t)]
