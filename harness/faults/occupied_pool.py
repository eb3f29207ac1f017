"""A pool of database connections that is occupied by requests which wait for a lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from harness.declare import register
from harness.errors import FaultError, UsageError
from harness.faults import agent_pod, proxied, sessions, workloads
from harness.faults.base import Achieved, Fault, FaultContext, Met, Support
from harness.history.facts import Json
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role
from harness.units import seconds

_NAME = "occupied-pool"


@register("fault", "occupied-pool")
@dataclass(frozen=True)
class OccupiedPool(Fault):
    """A session of ours holds rows that the application's requests want to update.

    Every request that wants them waits with a connection of the application's own pool, until the
    pool is empty and whoever needs a connection waits for one. The database itself is well, and
    takes new connections. What is locked is the `lock` of the target's role. Felt: the `path` of
    role `workload` takes at least `slower_than` on a pod, past every Service; or the timeout of the
    pod's own HTTP probe where that is shorter, since a probe that asked would have failed by then.
    """

    slower_than: str = field(default="5s", kw_only=True)
    workload: str = field(default="workload", kw_only=True)

    felt_within: ClassVar[str] = "90s"
    spares_target: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if seconds(self.slower_than) <= 0:
            raise UsageError(
                "a path is always slower than nothing",
                remedy='give slower_than="5s", the timeout of the probe that is tried',
            )

    @property
    def onset(self) -> str:
        """For sentences: 41 s after <...>."""
        return f"rows of the {self.target} were locked"

    def describe(self) -> str:
        """One line for tables."""
        return f"pool of the {self.workload} occupied by a lock in the {self.target}"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A database's Service whose role says what to lock."""
        found = sessions.support(role, objects)
        if found.state != "unsupported" and role.lock is None:
            return Support(
                "unsupported",
                f"nothing is known that the requests update in {role.ref}; name a statement that "
                'locks it: lock = "SELECT 1 FROM accounts FOR UPDATE"',
            )
        return found

    def prepare(self, objects: Sequence[Object], ctx: FaultContext) -> list[Object]:
        """The pod that will hold the session, on the way that the application takes."""
        return proxied.stand_in_path(objects, ctx.role(self.target), ctx)

    async def inject(self, ctx: FaultContext) -> None:
        """Open a transaction that locks the rows and stays open."""
        role = ctx.role(self.target)
        got = await sessions.hold(ctx, role, _NAME, {"count": 1, "statement": role.lock})
        if not got["held"]:
            raise FaultError(
                f"{role.ref} refused to lock: {got['refused']}",
                remedy=f"see to it that {role.lock!r} can be run with the role's credentials",
            )

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Ask a running pod of the workload for the path, which needs a connection.

        A starved application takes as long by itself, so it is felt only while the lock is held.
        """
        held = await sessions.renew(ctx, _NAME)
        role = ctx.role(self.workload)
        probe = workloads.question(await workloads.live(ctx, role))
        if probe is None:
            raise FaultError(
                f"{role.ref} has no HTTP probe, so its port is not known",
                remedy="declare a probe; this fault is about what it asks",
            )
        least = min(seconds(self.slower_than), probe.timeout_s)
        asked = {"seconds_at_least": least}
        pod, got = await self._ask_pod(ctx, probe, least)
        if not got:
            return Achieved(False, asked, {}, f"no pod of the {self.workload} listens")
        took = round(float(got["seconds"]), 2)
        achieved = {"seconds": took, "status": got["error"] or "answered", "held": held}
        # A connection that broke after that time waited for nothing that we hold.
        felt = held and took >= least and got["failure"] in (None, "silent")
        told = f"{role.path} of pod {pod} took {took:.1f} s or more"
        note = f"{told}, asked {least:g} s: {achieved['status']}"
        if not held:
            note += ", and nothing is locked"
        elif not felt and role.path == Role.model_fields["path"].default:
            note += f" (name a path that needs a connection: path = ... of role {self.workload})"
        return Achieved(felt, asked, achieved, note, (Met(pod, told),) if felt else ())

    async def _ask_pod(
        self, ctx: FaultContext, probe: workloads.Question, least: float
    ) -> tuple[str, Json]:
        """The first pod that listens, and what came of asking it; both empty if none does."""
        role = ctx.role(self.workload)
        for pod in await workloads.pods(ctx, role):
            if "running" not in workloads.status_of(pod, probe.container).get("state", {}):
                continue
            query = {
                "protocol": "http",
                "host": pod["status"]["podIP"],
                "port": probe.port,
                "path": role.path,
                "timeout": least + 0.2,
            }
            got = await agent_pod.ask(ctx, "POST", "/exchange", query)
            if got["failure"] != "refused":
                return str(pod["metadata"]["name"]), got
        return "", {}
