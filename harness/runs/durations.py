"""How long trials take: as the last one of the same name did on this machine, else by what is
declared.

What counts is the time for which a trial has its share of the CPU; it is removed beside others.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from harness import paths
from harness.history.history import History
from harness.history.records import SECOND
from harness.host.files import private_folder, write_json
from harness.judgement.exposure import exposures
from harness.manifest.facts import facts
from harness.manifest.objects import overlaid
from harness.trial.trial import TrialPlan
from harness.units import seconds

START_S = 25.0
"""From preflight to a subject that is up, where images are on the nodes."""
AROUND_S = 12.0
"""Until the fault is felt, and from the heal to the end of recovery."""


def expected(plan: TrialPlan) -> float:
    """Seconds that a trial will take."""
    file = _file(plan)
    if file.is_file():
        return float(orjson.loads(file.read_bytes())["seconds"])
    history = History()
    placement = plan.placement
    history.faults = [fault.facts() for fault in placement.faults]
    objects = overlaid(placement.isolation.objects, placement.released)
    history.facts = facts(objects, placement.placed_roles(), scale=placement.scale)
    needed = max(each.seconds for each in exposures(history, plan.scenario.objectives))
    return START_S + seconds(plan.scenario.control) + needed + AROUND_S


def learn(plan: TrialPlan, history: History) -> None:
    """What `expected` says from now on, by a trial that came to a verdict."""
    removal = history.phase("remove")
    if removal is None:
        return
    file = _file(plan)
    private_folder(file.parent)
    write_json(file, {"seconds": round((removal.begin - history.records[0]["t"]) / SECOND, 1)})


def _file(plan: TrialPlan) -> Path:
    subject = plan.placement.subject.subject.name
    return paths.home() / "durations" / subject / plan.scenario.slug / f"{plan.variant}.json"
