"""Nodes that take no new pods for the length of a fault, as `kubectl cordon` makes them."""

from __future__ import annotations

from harness.errors import FaultError
from harness.faults import workloads
from harness.faults.base import FaultContext
from harness.history.facts import Json
from harness.kube.client import ApiError
from harness.kube.eventually import eventually
from harness.labels import DOMAIN, spellings, value
from harness.manifest.subject_file import Role
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "cordon"
CORDONED_BY = f"{DOMAIN}/cordoned-by"
"""On a node: the trial that cordoned it. A node that was cordoned by somebody else stays so."""

_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_UNTAINTED_S = 30.0


async def cordon_nodes_of(ctx: FaultContext, role: Role) -> None:
    """Ledger record, then cordon every node on which a pod of the role runs.

    Raises FaultError where no other node would take its pods.
    """
    pods = await workloads.pods(ctx, role)
    hosts = {pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")}
    everywhere = await ctx.kube.list("v1", "Node")
    if not [n for n in everywhere if n["metadata"]["name"] not in hosts and _takes_pods(n)]:
        raise FaultError(
            f"{role.ref} runs on every node that takes pods: it cannot move",
            remedy="use a cluster with more nodes: `harness up --shape workers`",
        )
    free = {n["metadata"]["name"] for n in everywhere if not n["spec"].get("unschedulable")}
    mine = sorted(hosts & free)
    ctx.record(UNDO, {"nodes": mine, "trial": ctx.trial})
    for name in mine:
        await ctx.kube.patch("v1", "Node", name, None, _cordon(ctx.trial))


async def cordoned(ctx: FaultContext) -> list[str]:
    """The nodes that this trial has cordoned and that are cordoned still."""
    return sorted(
        node["metadata"]["name"]
        for node in await ctx.kube.list("v1", "Node")
        if (node["metadata"].get("annotations") or {}).get(CORDONED_BY) == ctx.trial
        and node["spec"].get("unschedulable")
    )


@undo(UNDO)
async def uncordon(record: Record, world: World) -> None:
    """Let the nodes that we cordoned take pods again, and wait until their taint is gone."""
    kube = await world.kube(record)
    for name in record.data["nodes"]:
        node = await kube.find("v1", "Node", name)
        if node is None:
            continue
        by = value(node["metadata"].get("annotations"), CORDONED_BY)
        if by != record.data["trial"]:
            continue
        free: Json = {
            "metadata": {"annotations": dict.fromkeys(spellings(CORDONED_BY))},
            "spec": {"unschedulable": None},
        }
        try:
            await kube.patch("v1", "Node", name, None, free)
        except ApiError as error:
            if not error.not_found:
                raise

    async def untainted() -> bool:
        for node in await kube.list("v1", "Node"):
            keys = [taint["key"] for taint in node["spec"].get("taints") or []]
            ours = node["metadata"]["name"] in record.data["nodes"]
            if ours and not node["spec"].get("unschedulable") and _UNSCHEDULABLE in keys:
                return False
        return True

    await eventually(untainted, within=_UNTAINTED_S, what="the nodes take pods again")


def _cordon(trial: str) -> Json:
    return {"metadata": {"annotations": {CORDONED_BY: trial}}, "spec": {"unschedulable": True}}


def _takes_pods(node: Json) -> bool:
    """Whether a pod without tolerations may be placed there."""
    taints = node["spec"].get("taints") or []
    return not any(taint["effect"] in ("NoSchedule", "NoExecute") for taint in taints)
