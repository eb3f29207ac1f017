"""Pods that are deleted by hand, as `kubectl delete pod` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.declare import register
from harness.errors import UsageError
from harness.faults import taken_pods, workloads
from harness.faults.base import Achieved, Fault, FaultContext, Support
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role


@register("fault", "delete-pods")
@dataclass(frozen=True)
class DeletePods(Fault):
    """The oldest `pods` pods of the target are deleted, with the grace that they declare.

    No budget is asked: a deletion is not an eviction.
    """

    pods: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if self.pods < 1:
            raise UsageError(
                f"DeletePods of {self.pods} pods deletes nothing", remedy="give pods=1 or more"
            )

    @property
    def onset(self) -> str:
        """For sentences: 3 s after <a pod of the workload was deleted>."""
        whose = f"a pod of the {self.target} was" if self.pods == 1 else f"{self.pods} pods were"
        return f"{whose} deleted"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.pods} {'pod' if self.pods == 1 else 'pods'} of {self.target} deleted"

    @property
    def cured_by_restarts(self) -> int:
        """Each deleted pod can only be replaced."""
        return self.pods

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A workload with as many pods."""
        return workloads.support_pods(role, objects, self.pods)

    async def inject(self, ctx: FaultContext) -> None:
        """Record them, then delete them."""
        standing = await workloads.pods(ctx, ctx.role(self.target))
        chosen = standing[: self.pods]
        taken_pods.record(ctx, self.target, chosen, standing)
        for meta in (pod["metadata"] for pod in chosen):
            await ctx.kube.delete("v1", "Pod", meta["name"], meta["namespace"], uid=meta["uid"])

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Whether they go, and whether they have been replaced."""
        return await taken_pods.measured(ctx, self.target)
