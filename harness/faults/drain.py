"""A drain, as before a node is upgraded or taken away: cordon, then evict, again and again.

What `kubectl drain` does to the pods of one workload, on all their nodes at once. An eviction is a
question to the API server, which a PodDisruptionBudget may answer with no; it is asked again until
nothing is left on the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.declare import Scope, register
from harness.faults import attempts, cordons, workloads
from harness.faults.attempts import Said, Tried
from harness.faults.base import Achieved, Fault, FaultContext, Met, Support
from harness.kube.client import ApiError
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role

ATTEMPT = "evict"
"""Name of the attempts in the history."""


@register("fault", "drain")
@dataclass(frozen=True)
class Drain(Fault):
    """Every node on which pods of the target run is cordoned, and the pods there are evicted.

    Pods of others stay. A refused eviction is asked again with every measurement. The drain that
    has emptied its nodes is over, and what can follow from it goes on.
    """

    scope: ClassVar[Scope] = "node"

    @property
    def onset(self) -> str:
        """For sentences: 3 s after <the nodes of the workload were drained>."""
        return f"the nodes of the {self.target} were drained"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.target}'s nodes drained"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A workload that replaces what was evicted; a DaemonSet's pods are not drained."""
        if role.ref.kind == "DaemonSet":
            return Support("unsupported", f"a drain leaves the pods of {role.ref} where they are")
        return workloads.support(role)

    async def inject(self, ctx: FaultContext) -> None:
        """Cordon, recorded first. Each measurement evicts what is left."""
        await cordons.cordon_nodes_of(ctx, ctx.role(self.target))

    async def measure(self, ctx: FaultContext) -> Achieved:
        """What the API server answers to the eviction of each pod that is left on the nodes."""
        off = await cordons.cordoned(ctx)
        if not off:
            return Achieved(False, {"left": 0}, {}, f"no node of the {self.target} is drained")
        left = [
            pod
            for pod in await workloads.pods(ctx, ctx.role(self.target), going=True)
            if pod["spec"].get("nodeName") in off
        ]
        leaving = {p["metadata"]["name"] for p in left if "deletionTimestamp" in p["metadata"]}
        refused: dict[str, str] = {}
        for meta in (pod["metadata"] for pod in left):
            if meta["name"] not in leaving:
                why = await self._evict(ctx, meta["namespace"], meta["name"])
                if why:
                    refused[meta["name"]] = why
                else:
                    leaving.add(meta["name"])
        achieved = {"left": len(left), "leaving": len(leaving), "refused": len(refused)}
        note = f"{len(left)} pods left on {', '.join(off)}, {len(leaving)} of them are leaving"
        for why in refused.values():
            note += f"; refused: {why}"
        met = [Met(name, "it was evicted") for name in leaving]
        met += [Met(name, "its eviction was refused") for name in refused]
        return Achieved(bool(left), {"left": 0}, achieved, note, tuple(met), cured=not left)

    async def _evict(self, ctx: FaultContext, namespace: str, pod: str) -> str:
        """One attempt, told in the history; why it was refused, empty if it was not."""
        answer: Said = "allowed"
        code, text = 201, ""
        try:
            await ctx.kube.evict(pod, namespace)
        except ApiError as error:
            if error.not_found:
                return ""
            if error.stage != "admission":
                raise
            answer, code, text = "refused", error.status, error.detail
        tried = Tried(
            target=f"Pod/{pod}", permitted=False, answer=answer, code=str(code), text=text
        )
        attempts.tell(ctx, ATTEMPT, self.target, [("an operator", tried)])
        return text
