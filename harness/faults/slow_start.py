"""A release that needs long until it listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from harness.declare import register
from harness.errors import UsageError
from harness.faults import rollouts, workloads
from harness.faults.base import Achieved, Fault, FaultContext, Met, Support
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role
from harness.units import seconds

_SHARE = 0.25
"""A container that listens to nobody for this share of the asked time starts slowly; what follows
may be cut short by the very probe that is tried."""


@register("fault", "slow-start")
@dataclass(frozen=True)
class SlowStart(Fault):
    """The target is rolled out with a start that takes `delay` longer before anything listens.

    The delay is divided by the trial's scale, like the probes that it is up against. How it is
    asked for is the application's: `start_delay` of the role names the environment variable.
    """

    healed_within: ClassVar[str] = rollouts.HEALED_WITHIN
    delay: str = field(kw_only=True)

    def __post_init__(self) -> None:
        if seconds(self.delay) <= 0:
            raise UsageError(
                f"SlowStart({self.target!r}) delays nothing", remedy='give delay="120s"'
            )

    @property
    def onset(self) -> str:
        """For sentences: 12 s after <...>."""
        return f"the rollout of the slowly starting {self.target} began"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.target} rolled out with a start of {self.delay}"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A workload with an HTTP probe whose start can be delayed."""
        if role.start_delay is None:
            return Support(
                "unsupported",
                f"nothing is known that delays the start of {role.ref}; name the environment "
                'variable: start_delay = "START_DELAY_SECONDS"',
            )
        return workloads.support_http(role, objects)

    async def inject(self, ctx: FaultContext) -> None:
        """Begin the rollout."""
        role = ctx.role(self.target)
        asked = _question(await workloads.live(ctx, role))
        assert role.start_delay is not None, "target_support asks for it before anything starts"
        delay = (role.start_delay, f"{seconds(self.delay) / ctx.scale:g}")
        await rollouts.roll_out(ctx, role, asked.container, variable=delay)

    async def measure(self, ctx: FaultContext) -> Achieved:
        """How long a running container of the new template has been refusing connections."""
        role = ctx.role(self.target)
        question = _question(await workloads.live(ctx, role))
        least = _SHARE * seconds(self.delay) / ctx.scale
        longest, listening, slowest = 0.0, 0, ""
        for pod in await rollouts.new_pods(ctx, role):
            age = rollouts.running_for(workloads.status_of(pod, question.container))
            if age is None:
                continue
            if await workloads.answers(ctx, pod, question) == "refused":
                longest, slowest = max((longest, slowest), (age, pod["metadata"]["name"]))
            else:
                listening += 1
        asked = {"seconds_at_least": round(least, 1)}
        achieved = {"seconds": round(longest, 1), "listening": listening}
        if longest >= least:
            note = f"{slowest} has been running for {longest:.0f} s and does not listen yet"
            met = Met(slowest, f"it listened to nobody for {longest:.0f} s")
            return Achieved(True, asked, achieved, note, (met,))
        # Those that listen have got through their start; the next one is about to begin its own.
        note = f"{listening} pods of the new template listen, none has been starting for long"
        return Achieved(False, asked, achieved, note, cured=listening > 0)


def _question(workload: Object) -> workloads.Question:
    found = workloads.question(workload)
    assert found is not None, "target_support asks for it before anything starts"
    return found
