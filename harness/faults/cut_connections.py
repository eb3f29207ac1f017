"""A dependency whose connections are cut: refused, reset, or swallowed without a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from harness.declare import register
from harness.errors import UsageError
from harness.faults import agent_pod, proxied
from harness.faults.base import Achieved, Fault, FaultContext, Support
from harness.history.facts import Json
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role

Mode = Literal["refuse", "reset", "blackhole"]

_WORDS = {
    "refuse": "refuses connections",
    "reset": "resets connections",
    "blackhole": "swallows what is sent to it",
}
_SHOWS = {"refuse": ("refused", "cut"), "reset": ("cut",), "blackhole": ("silent",)}
"""By mode: the failures of an exchange that are the fault's doing. A pool's connection is cut
before the next one is refused. Any other, such as a wrong password, shows nothing of it."""
_PATIENCE_S = 3.0
"""A black hole answers nothing: an exchange that takes this long was swallowed."""


@register("fault", "cut-connections")
@dataclass(frozen=True)
class CutConnections(Fault):
    """Connections to the target are cut, those in a pool as well.

    `mode`: `refuse` closes open connections and accepts no new one, `reset` answers with RST,
    `blackhole` keeps connections open and passes nothing on.
    """

    mode: Mode = field(default="refuse", kw_only=True)

    spares_target: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.mode not in _WORDS:
            raise UsageError(
                f"CutConnections cannot {self.mode!r}",
                remedy=f"choose one of {', '.join(_WORDS)}",
            )

    @property
    def onset(self) -> str:
        """For sentences: 41 s after <the database refused connections>."""
        return f"the connections of the {self.target} were cut"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.target} {_WORDS[self.mode]}"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A Service with pods of its own; any TCP protocol."""
        return proxied.support(role, objects)

    def prepare(self, objects: Sequence[Object], ctx: FaultContext) -> list[Object]:
        """A proxy that cuts nothing yet, and a pod that measures through it."""
        return proxied.stand_in_path(objects, ctx.role(self.target), ctx)

    async def inject(self, ctx: FaultContext) -> None:
        """Disable the proxy, or install the toxic, before the target."""
        toxics: list[Json] = []
        if self.mode == "reset":
            toxics.append({"name": "reset", "type": "reset_peer", "attributes": {"timeout": 0}})
        if self.mode == "blackhole":
            toxics.append({"name": "blackhole", "type": "timeout", "attributes": {"timeout": 0}})
        role = ctx.role(self.target)
        await proxied.install(ctx, role, toxics, enabled=self.mode != "refuse")

    async def measure(self, ctx: FaultContext) -> Achieved:
        """One exchange in the target's own protocol must fail as this mode makes it fail."""
        role = ctx.role(self.target)
        await proxied.renew(ctx, role)
        got = await agent_pod.exchange(ctx, role, timeout=_PATIENCE_S)
        achieved = {
            "ok": got["ok"],
            "seconds": round(got["seconds"], 4),
            "error": got["error"],
            "failure": got["failure"],
        }
        note = got["error"] or f"an exchange succeeded in {got['seconds']:.3f} s"
        felt = got["failure"] in _SHOWS[self.mode]
        met = await proxied.met(ctx, self.target)
        return Achieved(felt, {"exchange": _WORDS[self.mode]}, achieved, str(note), met)
