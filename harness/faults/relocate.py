"""A rollout whose new pods are kept off the nodes of the old ones, as in a node upgrade.

The nodes on which the target's pods run are cordoned and the target is rolled out anew, as `kubectl
cordon` and `kubectl rollout restart` would. The pods themselves are left to Kubernetes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.declare import Scope, register
from harness.faults import cordons, rollouts, workloads
from harness.faults.base import Achieved, Fault, FaultContext, Met, Support
from harness.history.facts import Json
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role


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
        """Cordon, recorded first; then restart."""
        role = ctx.role(self.target)
        await cordons.cordon_nodes_of(ctx, role)
        await rollouts.restart(ctx, role)

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Where the scheduler put the pods of the newest template, if it has put any anywhere."""
        role = ctx.role(self.target)
        off = await cordons.cordoned(ctx)
        newest = rollouts.restarted_at((await workloads.live(ctx, role))["spec"]["template"])
        new = {
            pod["metadata"]["name"]: pod["spec"].get("nodeName")
            for pod in await workloads.pods(ctx, role)
            if newest and rollouts.restarted_at(pod) == newest
        }
        asked = {"cordoned": off, "elsewhere": True}
        elsewhere = all(node not in off for node in new.values())
        achieved: Json = {"new_pods": new, "elsewhere": bool(new) and elsewhere}
        if not off:
            return Achieved(False, asked, achieved, f"no node of the {self.target} is cordoned")
        if not new:
            return Achieved(False, asked, achieved, f"no new pod of the {self.target} yet")
        places = ", ".join(f"{pod} on {node or 'no node yet'}" for pod, node in new.items())
        moved = tuple(Met(pod, f"it was kept off {', '.join(off)}") for pod in new)
        return Achieved(elsewhere, asked, achieved, f"kept off {', '.join(off)}: {places}", moved)
