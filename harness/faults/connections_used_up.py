"""A database server that lets nobody in any more: every connection it allows is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.declare import register
from harness.faults import agent_pod, proxied, sessions
from harness.faults.base import Achieved, Fault, FaultContext, Support
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role

_NAME = "used-up"
_PROBE = "one-more"
_FULL = (
    "too many clients",
    "remaining connection slots",
    "Too many connections",
    "max_user_connections",
)
"""What PostgreSQL says with SQLSTATE 53300, to all and to those who are not superusers; what MySQL
and MariaDB say with errors 1040 and 1226, of the server and of the user."""


@register("fault", "connections-used-up")
@dataclass(frozen=True)
class ConnectionsUsedUp(Fault):
    """Sessions of ours take what `max_connections` leaves, so a new one is refused at once.

    Pools that are connected stay so; whoever connects anew gets an error without any delay. Felt:
    one more connection is refused, with the server's own words for it.
    """

    @property
    def onset(self) -> str:
        """For sentences: 41 s after <...>."""
        return f"the connections of the {self.target} were used up"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.target} with every connection taken"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A Service of a database whose protocol is known."""
        return sessions.support(role, objects)

    def prepare(self, objects: Sequence[Object], ctx: FaultContext) -> list[Object]:
        """The pod that will hold the sessions, and a proxy that knows who uses the database."""
        return proxied.stand_in_path(objects, ctx.role(self.target), ctx)

    async def inject(self, ctx: FaultContext) -> None:
        """Open sessions until the server refuses."""
        await sessions.hold(ctx, ctx.role(self.target), _NAME, {"count": 0})

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Try one more session; take again what the application gave back meanwhile."""
        role = ctx.role(self.target)
        held = await sessions.renew(ctx, _NAME)
        body = {**await agent_pod.where(ctx, role), "name": _PROBE, "count": 1, "ttl": 1.0}
        got = await agent_pod.ask(ctx, "PUT", "/sessions", body)
        await agent_pod.ask(ctx, "DELETE", f"/sessions/{_PROBE}")
        refused = str(got["refused"] or "")
        felt = any(words in refused for words in _FULL)
        if held and not felt:
            more = {**body, "name": _NAME, "count": 0, "ttl": sessions.TTL_S}
            await agent_pod.ask(ctx, "PUT", "/sessions", more)
        note = f"one more connection: {refused.splitlines()[-1] if refused else 'accepted'}"
        met = await proxied.met(ctx, self.target)
        return Achieved(felt, {"refused": True}, {"refused": bool(refused)}, note, met)
