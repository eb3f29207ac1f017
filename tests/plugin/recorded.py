"""A pytest plugin for inner runs: trials are recorded stories instead of minutes on a cluster.

It implements `pytest_harness_trial`. Which story a variant plays is said by the environment, which
xdist's workers inherit: `HARNESS_STORIES="fragile=collapses hardened=not-felt"`.
"""

from __future__ import annotations

import os
from dataclasses import replace

import histories
import orjson
import pytest

from harness.history.history import History
from harness.judgement.verdict import judge
from harness.manifest.isolation import Isolation
from harness.runs import catalog
from harness.runs.catalog import Found
from harness.runs.options import Options, TrialEnd
from harness.trial.placement import Placement
from harness.trial.trial import TrialPlan

VARIABLE = "HARNESS_STORIES"
RESIDUE = "HARNESS_RESIDUE"
STORIES = {
    "collapses": histories.FRAGILE,
    # The last replica falls after the 90 s within which all should be down.
    "collapses-late": replace(histories.FRAGILE, kills=(41.2, 52.4, 94.0), sustain_s=120),
    "survives": histories.HARDENED,
    "starved": histories.STARVED,
    "not-felt": histories.NOT_FELT,
}


def pytest_harness_trial(
    item: pytest.Item, found: Found, variant: str, options: Options
) -> TrialEnd:
    """Write the story's folder and judge it by the scenario's own objectives and expectation."""
    chosen = dict(pair.split("=") for pair in os.environ[VARIABLE].split())
    story = STORIES[chosen[variant]]
    expect = found.scenario.variants[variant]
    seed = options.seed if options.seed is not None else 0
    assert options.folder is not None
    played = replace(story, slug=found.slug, variant=variant, seed=seed, expect=expect.verdict)
    folder = histories.write_trial(options.folder, played)
    residue = tuple(os.environ.get(RESIDUE, "").split(";")) if RESIDUE in os.environ else ()
    trial = folder / "trial.json"
    data = orjson.loads(trial.read_bytes())
    trial.write_bytes(orjson.dumps({**data, "residue": list(residue), "seed": options.seed}))
    result = judge(History.read(folder), found.scenario.objectives, expect)
    placement = Placement(
        trial="abc123",
        subject=catalog.sample_subject(found.scenario.subject),
        isolation=Isolation(objects=[], namespaces={}, names={}, exclusive=False, why=()),
        released=[],
        faults=[],
        load=found.scenario.load,
        exclusive=False,
        scale=1,
        seed=seed,
        folder=folder,
        images={},
    )
    plan = TrialPlan(placement=placement, scenario=found.scenario, variant=variant, expect=expect)
    return TrialEnd(plan, result, residue, 12.34)
