"""A dependency that answers late: latency, jitter or little bandwidth on a TCP role's Service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from harness.declare import register
from harness.errors import UsageError
from harness.faults import agent_pod, proxied
from harness.faults.base import Achieved, Fault, FaultContext, Support
from harness.history.facts import Json
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role
from harness.units import quantity_bytes, seconds

_SHARE = 0.8
"""An exchange that takes this share of the asked latency was slowed; less, and it was not."""
_LEAST_S = 0.1
"""An exchange that takes less can be slow by itself on a busy machine."""


@register("fault", "slow-dependency")
@dataclass(frozen=True)
class SlowDependency(Fault):
    """Every answer of the target comes `latency` later, give or take `jitter`.

    `bandwidth` limits what the target sends, in bytes per second as a Kubernetes quantity ("64k").
    At least one of the two must be given. Existing connections are slowed like new ones.
    """

    latency: str = field(default="0s", kw_only=True)
    jitter: str = field(default="0s", kw_only=True)
    bandwidth: str | None = field(default=None, kw_only=True)

    spares_target: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if seconds(self.latency) == 0 and self.bandwidth is None:
            raise UsageError(
                f"SlowDependency({self.target!r}) slows nothing",
                remedy='give latency="3s" or bandwidth="64k"',
            )
        # What is sent at a limited rate takes seconds by that alone.
        least = _LEAST_S if self.bandwidth is None else 0.0
        if seconds(self.latency) - seconds(self.jitter) < least:
            raise UsageError(
                f"an answer that comes {self.latency} later, give or take {self.jitter}, cannot be "
                "told from one that was not slowed",
                remedy=f"let the latency be more than the jitter by at least {_LEAST_S:g}s",
            )
        if self.bandwidth is not None and quantity_bytes(self.bandwidth) < 1000:
            raise UsageError(
                f"bandwidth {self.bandwidth} is under 1 kB/s, which Toxiproxy cannot do",
                remedy='give at least "1k"',
            )

    @property
    def onset(self) -> str:
        """For sentences: 41 s after <the database slowed>."""
        return f"the {self.target} slowed"

    def describe(self) -> str:
        """One line for tables."""
        parts = []
        if seconds(self.latency):
            jitter = f" +/- {self.jitter}" if seconds(self.jitter) else ""
            parts.append(f"{self.latency}{jitter} slower")
        if self.bandwidth is not None:
            parts.append(f"limited to {self.bandwidth}B/s")
        return f"{self.target} {' and '.join(parts)}"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A Service with pods of its own, and a protocol whose exchanges can be timed."""
        return proxied.support(role, objects, speed=True)

    def prepare(self, objects: Sequence[Object], ctx: FaultContext) -> list[Object]:
        """A proxy without any toxic in the path, and a pod that measures through it."""
        return proxied.stand_in_path(objects, ctx.role(self.target), ctx)

    async def inject(self, ctx: FaultContext) -> None:
        """Install the toxics on the answers of the target."""
        toxics: list[Json] = []
        if seconds(self.latency):
            toxics.append(
                {
                    "name": "latency",
                    "type": "latency",
                    "stream": "downstream",
                    "attributes": {
                        "latency": round(seconds(self.latency) * 1000),
                        "jitter": round(seconds(self.jitter) * 1000),
                    },
                }
            )
        if self.bandwidth is not None:
            toxics.append(
                {
                    "name": "bandwidth",
                    "type": "bandwidth",
                    "stream": "downstream",
                    "attributes": {"rate": quantity_bytes(self.bandwidth) // 1000},
                }
            )
        await proxied.install(ctx, ctx.role(self.target), toxics)

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Time one exchange in the target's own protocol; renews the toxics on the way."""
        role = ctx.role(self.target)
        await proxied.renew(ctx, role)
        rate = quantity_bytes(self.bandwidth) if self.bandwidth is not None else None
        # Two seconds' worth at the asked rate: long against the protocol's own overhead.
        size = 2 * rate if rate is not None else 1
        got = await agent_pod.exchange(ctx, role, payload_bytes=size)
        least = seconds(self.latency) - seconds(self.jitter) + (size / rate if rate else 0.0)
        asked = {"seconds_at_least": round(least, 3), "bytes": size}
        took = float(got["seconds"])
        achieved = {"seconds": round(took, 4), "ok": got["ok"], "error": got["error"]}
        met = await proxied.met(ctx, self.target)
        if not got["ok"]:
            return Achieved(False, asked, achieved, f"the exchange failed: {got['error']}", met)
        note = f"an exchange took {took:.3f} s, asked at least {least:g} s"
        return Achieved(took >= _SHARE * least, asked, achieved, note, met)
