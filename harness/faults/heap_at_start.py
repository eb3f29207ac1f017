"""A release that takes more memory at start than the one that the manifest was written for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.declare import register
from harness.faults import rollouts, workloads
from harness.faults.base import Achieved, Fault, FaultContext, Met, Support
from harness.manifest.objects import Object
from harness.manifest.subject_file import GreedyRelease, Role
from harness.nodes.cgroups import PodMemory, pod_memory
from harness.units import quantity_bytes

_SHARE = 0.9
"""Of the memory that the release takes, or of the limit where that is less."""


@register("fault", "heap-at-start")
@dataclass(frozen=True)
class HeapAtStart(Fault):
    """The target is rolled out to its `greedy` release, which the subject's file names.

    Felt: a pod of the new release used that much memory, or all that its limit allows, by the
    kernel's own counters.
    """

    healed_within: ClassVar[str] = rollouts.HEALED_WITHIN

    @property
    def onset(self) -> str:
        """For sentences: 12 s after <the workload was rolled out to ...>."""
        return f"the rollout of the {self.target}'s next release began"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.target} rolled out to a release that takes more memory at start"

    def images(self, role: Role) -> Sequence[str]:
        """The greedy release."""
        return (role.greedy.image,) if role.greedy is not None else ()

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A workload whose subject has such a release."""
        if role.greedy is None:
            return Support(
                "unsupported",
                f"no release of {role.ref} is named that takes more memory at start; name one: "
                'greedy = { image = "shop/checkout:2.0", memory = "1000M" }',
            )
        return workloads.support(role)

    async def inject(self, ctx: FaultContext) -> None:
        """Begin the rollout."""
        role = ctx.role(self.target)
        image = ctx.images[_greedy(role).image]
        workload = await workloads.live(ctx, role)
        first = workload["spec"]["template"]["spec"]["containers"][0]["name"]
        await rollouts.roll_out(ctx, role, first, image=image)

    async def measure(self, ctx: FaultContext) -> Achieved:
        """The peak that the kernel counted for the pods of the new release."""
        role = ctx.role(self.target)
        takes = quantity_bytes(_greedy(role).memory)
        found: dict[str, PodMemory] = {}
        for pod in await rollouts.new_pods(ctx, role):
            node = pod["spec"].get("nodeName")
            memory = node and await pod_memory(ctx.nodes, node, pod["metadata"]["uid"])
            if memory:
                found[pod["metadata"]["name"]] = memory
        if not found:
            asked = {"bytes_at_least": takes}
            return Achieved(False, asked, {"bytes": 0}, "no pod of the new release has run yet")
        name, most = max(found.items(), key=lambda item: item[1].peak)
        asked = {"bytes_at_least": int(_SHARE * min(takes, most.limit or takes))}
        achieved = {"bytes": most.peak, "limit_bytes": most.limit, "refused": most.failures}
        limit = f"{_mib(most.limit)} are allowed" if most.limit else "no limit"
        note = (
            f"a pod of the new release used {_mib(most.peak)} at its peak ({limit}, "
            f"{most.failures} pages refused); it takes {_mib(takes)}"
        )
        felt = most.peak >= asked["bytes_at_least"]
        met = (Met(name, f"it used {_mib(most.peak)} at its start"),) if felt else ()
        return Achieved(felt, asked, achieved, note, met)


def _greedy(role: Role) -> GreedyRelease:
    assert role.greedy is not None, "target_support asks for it before anything starts"
    return role.greedy


def _mib(value: int) -> str:
    return f"{value / 1024**2:.0f}Mi"
