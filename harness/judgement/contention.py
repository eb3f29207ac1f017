"""Whether the machine had room for a trial: how much of its CPU went to others.

Pure: reads the `machine` records of a history. A configuration is not to blame for what happens
while somebody else has more than half of the machine and nothing of it is idle.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.history.facts import Json
from harness.history.history import History
from harness.history.records import SECOND, Window

MOST_BY_OTHERS = 0.5
"""Of the machine's CPU. Measured where a trial had the machine to itself: 0.00 to 0.19, for the
container engine and what the hypervisor takes; with two busy processes for each CPU beside it: 0.7
to 0.8."""
LEAST_IDLE = 0.1
"""With more than that left over, nobody had to wait."""
STRETCH_S = 30.0
"""Kubelets renew their counts every 10 to 15 s, so a shorter stretch would say nothing."""
_LATE_S = 15.0
_FRESH_S = 20.0
"""A count that is older is of another time: a kubelet that nobody asks renews it seldom."""


@dataclass(frozen=True)
class Crowding:
    """Shares of the machine's CPU over one stretch of `seconds` that ended at `t`."""

    t: int
    seconds: float
    others: float
    idle: float

    @property
    def crowded(self) -> bool:
        """True if a trial cannot be judged by what happened then."""
        return self.others > MOST_BY_OTHERS and self.idle < LEAST_IDLE

    def describe(self) -> str:
        """For sentences."""
        return (
            f"others had {self.others:.0%} of this machine's CPU for {self.seconds:.0f} s, "
            f"and {self.idle:.0%} was idle"
        )


def most_crowded(history: History, window: Window) -> Crowding | None:
    """The worst stretch that ended in this window, or soon after; None if nothing was recorded.

    A stretch may begin before the window. One that counts as crowded is worse than any that does
    not, however much others had while some was left over.
    """
    limit = (window.end if window.end is not None else history.now) + int(_LATE_S * SECOND)
    records = history.machine
    told: list[Crowding] = []
    begin = 0
    for index, later in enumerate(records):
        while begin < index and later["t"] - records[begin + 1]["t"] >= STRETCH_S * SECOND:
            begin += 1
        if not window.begin <= later["t"] <= limit:
            continue
        found = _between(records[begin], later)
        if found is not None:
            told.append(found)
    return max(told, key=lambda each: (each.crowded, each.others), default=None)


def _between(earlier: Json, later: Json) -> Crowding | None:
    seconds = (later["t"] - earlier["t"]) / SECOND
    nodes = _nodes_rate(earlier, later)
    if seconds < STRETCH_S or nodes is None:
        return None
    room = later["cpus"] * seconds
    grown = {name: later[name] - earlier[name] for name in ("busy", "own", "stolen")}
    others = grown["busy"] - grown["own"] - nodes * seconds + grown["stolen"]
    idle = room - grown["busy"] - grown["stolen"]
    return Crowding(later["t"], seconds, max(others / room, 0.0), max(idle / room, 0.0))


def _nodes_rate(earlier: Json, later: Json) -> float | None:
    """CPUs that the nodes used on average, each by its kubelet's own clock; None if one told
    nothing new, or came or went in between. One that is away all the time (paused, say) used none.
    """
    names = later["nodes"].keys()
    if not names or names != earlier["nodes"].keys():
        return None
    rate = 0.0
    for name in names:
        begin, end = earlier["nodes"][name], later["nodes"][name]
        passed = end["at"] - begin["at"]
        stale = max(earlier["wall"] - begin["at"], later["wall"] - end["at"])
        if passed <= 0 or stale > _FRESH_S:
            return None
        rate += (end["seconds"] - begin["seconds"]) / passed
    return rate
