"""Pods that an operator takes away: which they were, whether they are gone, whether all is whole.

Nothing is to be undone: whoever owns the pods replaces them. The record in the ledger says which
ones were there, and by it a measurement knows them.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.faults import workloads
from harness.faults.base import Achieved, FaultContext, Met
from harness.manifest.objects import Object
from harness.manifest.rollout import rollout
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "taken-pods"


def record(
    ctx: FaultContext, target: str, pods: Sequence[Object], standing: Sequence[Object]
) -> None:
    """The ledger record of the pods that are about to be taken away, out of those that stand."""
    names = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in pods}
    stood = [pod["metadata"]["uid"] for pod in standing]
    ctx.record(UNDO, {"target": target, "pods": names, "stood": stood})


async def measured(ctx: FaultContext, target: str) -> Achieved:
    """Felt from the first of them that goes, or that is to be replaced, until the last is gone and
    all replicas are there. That end is the subject's own doing: cured.
    """
    role = ctx.role(target)
    taken: dict[str, str] = {}
    stood: set[str] = set()
    for each in ctx.ledger.open_records:
        if (each.kind, each.trial, each.data.get("target")) == (UNDO, ctx.trial, target):
            taken |= each.data["pods"]
            stood |= set(each.data["stood"])
    there = {pod["metadata"]["uid"]: pod for pod in await workloads.pods(ctx, role, going=True)}
    going = [
        name
        for uid, name in taken.items()
        if uid not in there or "deletionTimestamp" in there[uid]["metadata"]
    ]
    left = taken.keys() & there.keys()
    came = [pod["metadata"]["name"] for uid, pod in there.items() if stood and uid not in stood]
    state = rollout(await workloads.live(ctx, role))
    cured = bool(taken) and not left and state.complete
    note = (
        f"{len(going)} of {len(taken)} pods were taken away, {len(left)} are not gone yet; "
        f"{state.done} of {state.wanted} replicas are available"
    )
    return Achieved(
        bool(going or came) and not cured,
        {"taken": len(taken)},
        {"taken": len(going), "available": state.done},
        note,
        (
            *(Met(name, "it was taken away") for name in going),
            *(Met(name, "it was made to replace another") for name in came),
        ),
        cured=cured,
    )


@undo(UNDO)
async def leave(record: Record, world: World) -> None:
    """Nothing of ours is left, and a pod that is gone cannot come back."""
