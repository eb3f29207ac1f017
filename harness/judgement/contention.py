"""Whether the machine had room for a trial: how much of its CPU went to others.

Pure: reads the `machine` records of a history. A configuration is not to blame for what happens
while somebody else has more than half of the machine and nothing of it is idle. Others are also the
pods of trials beside this one, and whoever keeps the kubelets from counting.
"""

from __future__ import annotations

from collections.abc import Sequence
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
STRETCH_S = 15.0
"""Kubelets renew their counts every 10 to 15 s; what they counted is spread over that time."""
_LATE_S = 15.0
_FRESH_S = 20.0
"""A node whose kubelet has told nothing for longer is taken to have used nothing: it is paused, or
so starved that its counts stand still."""


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
    counts = _counts(records)
    told: list[Crowding] = []
    begin = 0
    for index, later in enumerate(records):
        while begin < index and later["t"] - records[begin + 1]["t"] >= STRETCH_S * SECOND:
            begin += 1
        long_enough = later["t"] - records[begin]["t"] >= STRETCH_S * SECOND
        if counts and long_enough and window.begin <= later["t"] <= limit:
            told.append(_between(records[begin], later, counts))
    return max(told, key=lambda each: (each.crowded, each.others), default=None)


Counts = list[tuple[float, float]]
"""What a node's kubelet told, in order: (Unix seconds, CPU seconds used until then)."""


def _between(earlier: Json, later: Json, counts: Sequence[Counts]) -> Crowding:
    seconds = (later["t"] - earlier["t"]) / SECOND
    grown = {
        name: later.get(name, 0.0) - earlier.get(name, 0.0)
        for name in ("busy", "own", "stolen", "siblings")
    }
    nodes = sum(_used(told, later["wall"]) - _used(told, earlier["wall"]) for told in counts)
    room = later["cpus"] * seconds
    others = grown["busy"] - grown["own"] - nodes + grown["siblings"] + grown["stolen"]
    idle = room - grown["busy"] - grown["stolen"]
    return Crowding(later["t"], seconds, max(others / room, 0.0), max(idle / room, 0.0))


def _counts(records: Sequence[Json]) -> list[Counts]:
    """Of each node, every count that is newer than the one before."""
    told: dict[str, Counts] = {}
    for record in records:
        for name, node in record["nodes"].items():
            of = told.setdefault(name, [])
            if not of or node["at"] > of[-1][0]:
                of.append((node["at"], node["seconds"]))
    return list(told.values())


def _used(told: Counts, wall: float) -> float:
    """CPU seconds that a node had used by a time: between two counts evenly, and before the first
    and after the last as beside them, for as long as a kubelet may keep silent."""
    if len(told) < 2:
        return told[0][1]
    wall = min(max(wall, told[0][0] - _FRESH_S), told[-1][0] + _FRESH_S)
    later = next((index for index, (at, _) in enumerate(told) if wall <= at), len(told) - 1)
    (since, before), (until, after) = told[max(later, 1) - 1], told[max(later, 1)]
    return before + (after - before) * (wall - since) / (until - since)
