"""Which trials run side by side, each under its lease; one trial run, judged and stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from harness.cluster import capacity
from harness.cluster.capacity import Room
from harness.cluster.leases import cluster_lease
from harness.images.supply import Supply
from harness.judgement.verdict import judge
from harness.runs.folder import (
    TRIAL_FILE,
    VERDICT_FILE,
    write_json,
)
from harness.runs.options import RunEnd, RunListener, TrialEnd
from harness.runs.plans import Prepared, plan
from harness.trial.equipment import equip
from harness.trial.placement import Connections
from harness.trial.trial import TrialPlan, run_trial


async def run_scenario(
    prepared: Prepared,
    connections: Connections,
    supply: Supply,
    seed: int,
    end: RunEnd,
    listener: RunListener,
) -> None:
    """All variants of one scenario: side by side if they may and fit, else one after the other."""
    plans = [
        await plan(prepared, name, supply, seed=seed, folder=end.folder)
        for name in prepared.variants
    ]
    if any(p.placement.exclusive for p in plans):
        for each in plans:
            end.trials.append(await leased(each, connections, listener))
        return
    needs = {p.variant: capacity.asked(p.placement.isolation.objects) for p in plans}
    for batch in side_by_side(needs, await capacity.left(connections.kube)):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(leased(each, connections, listener))
                for each in plans
                if each.variant in batch
            ]
        end.trials += [task.result() for task in tasks]


def side_by_side(needs: Mapping[str, Room], room: Room) -> list[list[str]]:
    """Which trials run together, in their order: as many as fit into what the cluster has left.

    One that does not fit by itself runs alone, and will say what it waits for.
    """
    batches: list[list[str]] = []
    free = Room()
    for name, need in needs.items():
        if not batches or not free.holds(need):
            batches.append([])
            free = room
        batches[-1].append(name)
        free -= need
    return batches


async def leased(each: TrialPlan, connections: Connections, listener: RunListener) -> TrialEnd:
    """One trial under its lease: shared with others, or alone on the cluster."""
    purpose = f"{each.scenario.slug}[{each.variant}]"
    async with cluster_lease(
        connections.cluster.folder, exclusive=each.placement.exclusive, purpose=purpose
    ):
        await equip(connections, each.placement.faults)
        return await trial(each, connections, listener)


async def trial(each: TrialPlan, connections: Connections, listener: RunListener) -> TrialEnd:
    """Run, judge and store one trial."""
    begin, wall = time.monotonic(), time.time()
    listener.begin(each.placement.trial, each.scenario.title, each.variant)
    ended = await run_trial(each, connections, listener)
    result = judge(ended.history, each.scenario.objectives, each.expect)
    took = time.monotonic() - begin
    write_json(
        each.placement.folder / TRIAL_FILE,
        {
            **{k: v for k, v in ended.history.trial.items() if k not in ("t", "wall", "type")},
            "started": wall,
            "ended": time.time(),
            "seconds": round(took, 3),
            "residue": list(ended.residue),
        },
    )
    write_json(each.placement.folder / VERDICT_FILE, result.to_json())
    listener.end(each.placement.trial, result)
    return TrialEnd(each, result, ended.residue, took)
