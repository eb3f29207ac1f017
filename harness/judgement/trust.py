"""What survival rests on beside its objectives: one rule, as a list of what is missing.

The load was served before the fault and went on, the subject itself came through what is broken,
and what the objectives read was watched without a gap. Where anything of that is not shown, nothing
follows from the rest. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from harness.declare import Objective
from harness.history.history import History
from harness.history.outcomes import ENOUGH
from harness.history.records import Window
from harness.history.requests import Requests

Blame = Literal["harness", "host", "subject"]


@dataclass(frozen=True)
class Missing:
    """Something that was not shown, and whose business it was."""

    blame: Blame
    reason: str


def not_served(requests: Requests) -> Missing | None:
    """Why the load of a control run is none; None if it was served."""
    if not len(requests) or not requests.reached():
        reason = "the load never arrived: no request was answered in the control phase"
        return Missing("harness", reason)
    served = int(requests.ok.sum())
    if served < ENOUGH:
        failed = requests.failures()
        return Missing(
            "subject",
            f"before any fault: {served} requests of {requests.scheduled} succeeded, at least "
            f"{ENOUGH} are needed" + (f" ({failed})" if failed else ""),
        )
    return None


def not_asked(history: History) -> list[Missing]:
    """Nobody knows how a subject stood a fault in which nothing was asked of it."""
    inject, heal = history.phase("inject"), history.phase("heal")
    if inject is None or inject.end is None:
        return []
    requests = history.requests.between(inject.end, heal.begin if heal else history.now)
    if requests.scheduled >= ENOUGH:
        return []
    return [
        Missing(
            "harness",
            f"{requests.scheduled} requests were sent while the fault lasted, at least {ENOUGH} "
            "are needed",
        )
    ]


def not_met(history: History, faults: Collection[int] | None = None) -> list[Missing]:
    """A fault that nobody of the subject came through was no trial of it.

    `faults` are the indices of those that were injected (None: all).
    """
    missing: list[Missing] = []
    for index, fault in enumerate(history.faults):
        if faults is not None and index not in faults:
            continue
        told = [met for met in history.met if met.fault == index]
        if not fault.met or any(met.count for met in told):
            continue
        why = "nobody of the subject was seen to meet it"
        if told:
            looked = "; ".join(dict.fromkeys(met.how for met in told))
            why = f"the workload never used this dependency ({looked})"
        missing.append(Missing("subject", f"{fault.describe}: {why}"))
    return missing


def not_watched(history: History, objective: Objective, until: int | None = None) -> list[Missing]:
    """Stretches up to a time (None: the end) in which what an objective reads was not seen."""
    begin = history.before
    if begin is None:
        return []
    watched = history.watched
    end = until if until is not None or watched is None else watched.end
    judged = Window(begin.begin, end)
    return [
        Missing("harness", f"{blind.what} was not watched without a gap: {blind.reason}")
        for blind in history.blind
        if blind.kind in objective.watches and blind.window.touches(judged)
    ]
