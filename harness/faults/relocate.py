"""A rollout whose new pods are kept off the nodes of the old ones, as in a node upgrade.

The nodes on which the target's pods run are cordoned and the target is rolled out anew, as `kubectl
cordon` and `kubectl rollout restart` would. The pods themselves are left to Kubernetes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from harness.declare import Scope, register
from harness.errors import FaultError
from harness.faults import workloads
from harness.faults.base import Achieved, Fault, FaultContext, Met, Support
from harness.history.facts import Json
from harness.kube.client import ApiError
from harness.kube.eventually import eventually
from harness.labels import DOMAIN, spellings, value
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "cordon"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""The annotation with which `kubectl rollout restart` changes a pod template."""
CORDONED_BY = f"{DOMAIN}/cordoned-by"
"""On a node: the trial that cordoned it. A node that was cordoned by somebody else stays so."""

_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_UNTAINTED_S = 30.0


@register("fault", "relocate")
@dataclass(frozen=True)
class Relocate(Fault):
    """The target is rolled out anew while its nodes are cordoned: new pods go elsewhere."""

    scope: ClassVar[Scope] = "node"

    @property
    def onset(self) -> str:
        """For sentences: 41 s after <the worker had to move>."""
        return f"the {self.target} had to move"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.target} rolled out anew, off its present nodes"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A workload that replaces its pods when its template changes."""
        return workloads.support(role)

    async def inject(self, ctx: FaultContext) -> None:
        """Cordon, recorded first; then the annotation that `kubectl rollout restart` sets."""
        role = ctx.role(self.target)
        pods = await workloads.pods(ctx, role)
        old = {pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")}
        everywhere = await ctx.kube.list("v1", "Node")
        if not [n for n in everywhere if n["metadata"]["name"] not in old and _takes_pods(n)]:
            raise FaultError(
                f"{role.ref} runs on every node that takes pods: it cannot move",
                remedy="use a cluster with more nodes: `harness up --shape workers`",
            )
        free = {n["metadata"]["name"] for n in everywhere if not n["spec"].get("unschedulable")}
        mine = sorted(old & free)
        ctx.record(UNDO, {"nodes": mine, "trial": ctx.trial})
        for name in mine:
            await ctx.kube.patch("v1", "Node", name, None, _cordon(ctx.trial))
        body = {"spec": {"template": {"metadata": {"annotations": {RESTARTED: _now()}}}}}
        namespace = ctx.namespace_of(role.ref)
        await ctx.kube.patch(workloads.API, role.ref.kind, role.ref.name, namespace, body)

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Where the scheduler put the pods of the newest template, if it has put any anywhere."""
        role = ctx.role(self.target)
        off = [
            node["metadata"]["name"]
            for node in await ctx.kube.list("v1", "Node")
            if (node["metadata"].get("annotations") or {}).get(CORDONED_BY) == ctx.trial
            and node["spec"].get("unschedulable")
        ]
        template = (await workloads.live(ctx, role))["spec"]["template"]
        newest = _restarted_at(template)
        new = {
            pod["metadata"]["name"]: pod["spec"].get("nodeName")
            for pod in await workloads.pods(ctx, role)
            if newest and _restarted_at(pod) == newest
        }
        asked = {"cordoned": sorted(off), "elsewhere": True}
        elsewhere = all(node not in off for node in new.values())
        achieved: Json = {"new_pods": new, "elsewhere": bool(new) and elsewhere}
        if not off:
            return Achieved(False, asked, achieved, f"no node of the {self.target} is cordoned")
        if not new:
            return Achieved(False, asked, achieved, f"no new pod of the {self.target} yet")
        places = ", ".join(f"{pod} on {node or 'no node yet'}" for pod, node in new.items())
        moved = tuple(Met(pod, f"it was kept off {', '.join(off)}") for pod in new)
        return Achieved(elsewhere, asked, achieved, f"kept off {', '.join(off)}: {places}", moved)


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


def _restarted_at(obj: Json) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(RESTARTED, ""))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
