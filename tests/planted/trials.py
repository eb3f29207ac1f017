"""Real trials of the planted subject: what every planted test stands on, also as a program.

`python tests/planted/trials.py FOLDER` carries one calm trial out, for tests that kill it half-way.
The defects themselves are planted in the tests beside it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from harness import Expect, Load, Scenario, objectives
from harness.cluster.clusters import Cluster
from harness.commands.running import until_done
from harness.declare import Fault, Objective
from harness.faults import SlowDependency
from harness.history.facts import Json
from harness.history.history import History
from harness.host.signals import Interrupted
from harness.images.supply import Supply
from harness.manifest.subject_reading import load_subject
from harness.manifest.variants import Layers
from harness.runs.connections import connect, find_cluster
from harness.runs.options import Options, Quiet, RunListener, TrialEnd
from harness.runs.plans import Prepared, plan
from harness.runs.prepare import read
from harness.runs.schedule import leased
from harness.trial.placement import Connections

SUBJECT = Path(__file__).parent / "subject"
SLOW = SlowDependency("database", latency="2s")


JUDGED_BY = (
    objectives.restarts("workload", at_most=0),
    objectives.availability(at_least=0.99, during="recovered"),
    objectives.recovery(within="readiness + 10s"),
)


def scenario(
    faults: Sequence[Fault] = (SLOW,),
    *,
    variant: str,
    expect: Expect,
    judged_by: Sequence[Objective] = JUDGED_BY,
    control: str = "4s",
) -> Scenario:
    """The slow database in its shortest form: 10 requests/s, a control run of four seconds."""
    return Scenario(
        title="planted",
        source="planted",
        subject="planted",
        slug="planted",
        load=Load(rate=10, timeout="5s"),
        control=control,
        faults=faults,
        objectives=judged_by,
        variants={variant: expect},
    )


async def carry_out(
    connections: Connections,
    folder: Path,
    *,
    name: str,
    expect: Expect = Expect("survived"),  # noqa: B008 - frozen
    faults: Sequence[Fault] = (SLOW,),
    judged_by: Sequence[Objective] = JUDGED_BY,
    component: str | None = None,
    entry: str = "entry",
    control: str = "4s",
    listener: RunListener | None = None,
) -> TrialEnd:
    """One trial called `name`; `component` is a defect in the manifests, `entry` the role to load.

    Goes through everything that `harness run` does between its options and a verdict.
    """
    supply = Supply()
    subject = load_subject(SUBJECT)
    roles = {**subject.roles, "entry": subject.roles[entry]}
    subject = subject.model_copy(update={"roles": roles})
    defect = SUBJECT / "variants" / component if component else None
    manifests = await read(subject, Layers(component=defect), supply)
    planted = scenario(faults, variant=name, expect=expect, judged_by=judged_by, control=control)
    prepared = Prepared(planted, {name: manifests})
    each = await plan(prepared, name, supply, seed=1, folder=folder)

    async def found() -> Cluster:
        return connections.cluster

    return await leased(each, found, listener or Quiet(), lambda: None)


@asynccontextmanager
async def connected_cluster(options: Options, shape: str) -> AsyncIterator[Connections]:
    """A cluster and connections to it, without a lease: for looking at it."""
    async with connect(await find_cluster(options, shape)) as connections:
        yield connections


def history_of(end: TrialEnd) -> History:
    """What was recorded, read from the disk as `harness judge` reads it."""
    return History.read(end.plan.placement.folder)


def phases(records: Sequence[Json]) -> list[str]:
    """The phases that began, in order."""
    return [r["phase"] for r in records if r["type"] == "phase" and r["edge"] == "begin"]


async def _alone(folder: Path) -> None:
    async with connected_cluster(Options(), "single") as connections:
        await carry_out(connections, folder, name="calm")


if __name__ == "__main__":
    try:
        until_done(_alone(Path(sys.argv[1])))
    except Interrupted as interrupted:
        sys.exit(interrupted.exit_code)
