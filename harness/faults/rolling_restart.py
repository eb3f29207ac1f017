"""Every pod replaced by one like it, as `kubectl rollout restart` and any new release do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.declare import register
from harness.faults import rollouts, taken_pods, workloads
from harness.faults.base import Achieved, Fault, FaultContext, Support
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role


@register("fault", "rolling-restart")
@dataclass(frozen=True)
class RollingRestart(Fault):
    """The target's pods are replaced one after the other, as its rollout strategy has it.

    Nothing is undone: the new pods are like the old ones.
    """

    @property
    def onset(self) -> str:
        """For sentences: 12 s after <the restart of the workload began>."""
        return f"the restart of the {self.target} began"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.target} restarted, pod by pod"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A workload that replaces its pods when its template changes."""
        return workloads.support(role)

    async def inject(self, ctx: FaultContext) -> None:
        """Record the pods that are there, then restart."""
        role = ctx.role(self.target)
        pods = await workloads.pods(ctx, role)
        taken_pods.record(ctx, self.target, pods, standing=pods)
        await rollouts.restart(ctx, role)

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Whether the old pods go, and whether the new ones have taken over."""
        return await taken_pods.measured(ctx, self.target)
