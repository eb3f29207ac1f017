"""When trials run: each under its lease and in its room; one trial run, judged and stored.

The same for `harness run` and for pytest's items, in one process or in several: what keeps trials
apart is on the disk, beside the cluster. Which begin first, and which are tried again, `pool` says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

from harness.cluster import capacity, residue
from harness.cluster.reservations import reserved
from harness.history.run_files import TRIAL_FILE, VERDICT_FILE
from harness.host.files import write_json
from harness.judgement.verdict import judge
from harness.runs import durations
from harness.runs.connections import Find, leased_cluster
from harness.runs.options import RunListener, TrialEnd
from harness.trial.equipment import equip
from harness.trial.placement import Connections
from harness.trial.trial import TrialPlan, run_trial


async def leased(
    each: TrialPlan, find: Find, listener: RunListener, removing: Callable[[], None]
) -> TrialEnd:
    """One trial under its lease: in its room beside others, or alone on the cluster.

    `removing` is called when nothing more of it is judged, and it is only taken away.
    """
    placement = each.placement
    purpose = f"{each.scenario.slug}[{each.variant}]"
    async with leased_cluster(find, exclusive=placement.exclusive, purpose=purpose) as connections:
        if placement.exclusive:
            return await _equipped(each, connections, listener, removing)
        need = capacity.asked([*placement.isolation.objects, *placement.released])
        namespaces = list(placement.isolation.namespaces.values())
        room = reserved(connections.kube, connections.cluster.folder, need, namespaces)
        async with room as give_back:

            def all_given_back() -> None:
                give_back()
                removing()

            return await _equipped(each, connections, listener, all_given_back)


async def _equipped(
    each: TrialPlan, connections: Connections, listener: RunListener, removing: Callable[[], None]
) -> TrialEnd:
    await equip(connections, each.placement.faults)
    return await trial(each, connections, listener, removing)


async def trial(
    each: TrialPlan, connections: Connections, listener: RunListener, removing: Callable[[], None]
) -> TrialEnd:
    """Run, judge and store one trial."""
    begin, wall = time.monotonic(), time.time()
    listener.begin(each.placement.trial, each.scenario.slug, each.variant)
    ended = await run_trial(each, connections, listener, removing)
    result = judge(ended.history, each.scenario.objectives, each.expect)
    took = time.monotonic() - begin
    # Told before anything is written: a full disk takes no verdict back.
    listener.end(each.placement.trial, result)
    if ended.residue:
        # What could not be removed would be the next trial's baseline.
        residue.note(connections.cluster.folder, ended.residue)
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
    if result.verdict != "inconclusive":
        durations.learn(each, ended.history)
    return TrialEnd(each, result, ended.residue, took, asdict(connections.cluster.versions))
