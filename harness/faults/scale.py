"""A workload that somebody scales by hand, past whoever keeps its manifests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.declare import register
from harness.faults import workloads
from harness.faults.base import SUPPORTED, Achieved, Fault, FaultContext, Met, Support
from harness.kube.client import Kube
from harness.manifest.objects import Object, find, replicas
from harness.manifest.subject_file import Role
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo


@register("fault", "scale")
@dataclass(frozen=True)
class Scale(Fault):
    """The target is told to have `replicas` pods, as by `kubectl scale`.

    Felt: it has so many. Cured where somebody, such as a reconciler, tells it otherwise.
    """

    replicas: int = field(kw_only=True)

    @property
    def onset(self) -> str:
        """For sentences: 41 s after <the workload was scaled to 1>."""
        return f"the {self.target} was scaled to {self.replicas}"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.target} scaled to {self.replicas} by hand"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A workload that declares another number of pods."""
        declared = replicas(find(objects, role.ref))
        if declared in (None, self.replicas):
            return Support("unsupported", f"{role.ref} declares {declared} pods as it is")
        return SUPPORTED

    async def inject(self, ctx: FaultContext) -> None:
        """Set the number; the one before is recorded first."""
        role = ctx.role(self.target)
        before = (await workloads.live(ctx, role))["spec"]["replicas"]
        where = [role.ref.kind, role.ref.name, ctx.namespace_of(role.ref)]
        ctx.record("scale", {"where": where, "before": before, "asked": self.replicas})
        await _tell(ctx.kube, where, self.replicas)

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Count the pods that are there to stay, and ask what the workload wants by now."""
        role = ctx.role(self.target)
        wanted = (await workloads.live(ctx, role))["spec"]["replicas"]
        there = len(await workloads.pods(ctx, role))
        note = f"{role.ref} has {there} pods and wants {wanted}"
        felt = there == wanted == self.replicas
        met = (Met(str(role.ref), note),) if felt else ()
        asked, achieved = {"pods": self.replicas}, {"pods": there}
        return Achieved(felt, asked, achieved, note, met, cured=wanted != self.replicas)


@undo("scale")
async def scale_back(record: Record, world: World) -> None:
    """Heal: the number as it was, unless somebody has told another one since."""
    kube, where = await world.kube(record), record.data["where"]
    workload = await kube.find(workloads.API, *where)
    if workload is not None and workload["spec"]["replicas"] == record.data["asked"]:
        await _tell(kube, where, record.data["before"])


async def _tell(kube: Kube, where: Sequence[str], number: int) -> None:
    kind, name, namespace = where
    await kube.patch(workloads.API, kind, name, namespace, {"spec": {"replicas": number}})
