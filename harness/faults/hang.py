"""A process that lives and does nothing: a deadlock, seen from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.declare import register
from harness.errors import FaultError, UsageError
from harness.faults import in_node, workloads
from harness.faults.base import Achieved, Fault, FaultContext, Met, Support
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role
from harness.nodes import cgroups
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "hang"

# The processes of one container only: the pod's sandbox is not part of the application.
_STOP = (
    cgroups.FIND
    + r"""
group=$(pod_group "$1"); [ -n "$group" ] || { echo "no group of pod $1" >&2; exit 1; }
dir=$(find "$group" -type d -name "*$2*" | head -n 1)
[ -n "$dir" ] || { echo "no group of container $2" >&2; exit 1; }
xargs -r kill -STOP < "$dir/cgroup.procs"
"""
)
# How many are still there: none once the container was killed, whatever its status says yet.
_LEFT = (
    cgroups.FIND
    + r"""
group=$(pod_group "$1"); [ -n "$group" ] || { echo 0; exit 0; }
dir=$(find "$group" -type d -name "*$2*" | head -n 1)
[ -n "$dir" ] && wc -l < "$dir/cgroup.procs" || echo 0
"""
)
_CONTINUE = (
    cgroups.FIND
    + r"""
group=$(pod_group "%s"); [ -z "$group" ] || find "$group" -name cgroup.procs -exec cat {} + |
  xargs -r kill -CONT 2>/dev/null || true
"""
)


@register("fault", "hang")
@dataclass(frozen=True)
class Hang(Fault):
    """The processes of `pods` pods of the target stop in their tracks, by SIGSTOP.

    Connections are accepted by the kernel and never answered, SIGTERM is not handled, the process
    is there: what a deadlock looks like to everybody else. SIGKILL ends it, as it ends a deadlock.
    """

    pods: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if self.pods < 1:
            raise UsageError(
                f"Hang of {self.pods} pods hangs nothing", remedy="give pods=1 or more"
            )

    @property
    def onset(self) -> str:
        """For sentences: 12 s after <...>."""
        return f"{self._whose()} hung"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self._whose()} hanging"

    @property
    def cured_by_restarts(self) -> int:
        """A restart of each pod: a hung process cannot help itself."""
        return self.pods

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """A workload with an HTTP probe: something must be askable."""
        found = workloads.support_http(role, objects)
        enough = workloads.support_pods(role, objects, self.pods)
        return enough if found.state == "supported" else found

    async def inject(self, ctx: FaultContext) -> None:
        """Stop the processes of the oldest pods."""
        role = ctx.role(self.target)
        asked = _question(await workloads.live(ctx, role))
        for pod in (await workloads.pods(ctx, role))[: self.pods]:
            meta, status = pod["metadata"], workloads.status_of(pod, asked.container)
            node, uid = pod["spec"]["nodeName"], meta["uid"]
            container = status["containerID"].partition("://")[2]
            ctx.record(
                UNDO,
                {
                    "namespace": meta["namespace"],
                    "pod": meta["name"],
                    "uid": uid,
                    "node": node,
                    "target": self.target,
                    "container": container,
                },
            )
            await in_node.start(ctx.nodes, node, _name(ctx.trial, uid), _continue(uid))
            words = ["bash", "-c", _STOP, "bash", uid, container]
            (await ctx.nodes.run(node, words)).require()

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Ask the pods that were stopped (before that: all); cured once their processes are gone.

        That is asked of the node: a new process may answer before the kubelet says that the old one
        was killed.
        """
        role = ctx.role(self.target)
        asked = _question(await workloads.live(ctx, role))
        stopped = {
            record.data["uid"]: record.data
            for record in ctx.ledger.open_records
            if record.kind == UNDO
            and record.trial == ctx.trial
            and record.data["target"] == self.target
        }
        there = {pod["metadata"]["uid"]: pod for pod in await workloads.pods(ctx, role)}
        silent: list[str] = []
        ended = [data["pod"] for uid, data in stopped.items() if uid not in there]
        for uid, pod in there.items():
            if stopped and uid not in stopped:
                continue
            answer = await workloads.answers(ctx, pod, asked)
            # Looked for after the answer: whoever killed them may have come in between.
            left = uid in stopped and await _left(ctx, stopped[uid])
            if answer == "silent":
                silent.append(pod["metadata"]["name"])
            elif uid in stopped and not left:
                ended.append(pod["metadata"]["name"])
        wanted = {"silent_pods": self.pods}
        achieved = {"silent_pods": len(silent), "ended_pods": len(ended)}
        note = f"{len(silent)} of {len(there)} pods accept a connection and do not answer"
        if ended:
            note += f"; the processes of {', '.join(ended)} are gone"
        felt = len(silent) >= self.pods
        cured = bool(ended) and len(silent) + len(ended) >= self.pods
        met = tuple(Met(pod, "its processes were stopped") for pod in silent if stopped)
        return Achieved(felt, wanted, achieved, note, met, cured=cured)

    def _whose(self) -> str:
        return f"a pod of the {self.target}" if self.pods == 1 else f"{self.pods} pods"


@undo(UNDO)
async def heal_hang(record: Record, world: World) -> None:
    """Heal: every process of the pod goes on. Nothing to do if the pod is gone."""
    data = record.data
    nodes = await world.nodes(record)
    await in_node.stop(
        nodes, data["node"], _name(record.trial, data["uid"]), _continue(data["uid"])
    )


async def _left(ctx: FaultContext, stopped: Mapping[str, Any]) -> bool:
    """Whether processes that were stopped are still there; they stay stopped for another while."""
    uid, node = stopped["uid"], stopped["node"]
    await in_node.renew(ctx.nodes, node, _name(ctx.trial, uid))
    words = ["bash", "-c", _LEFT, "bash", uid, stopped["container"]]
    return (await ctx.nodes.run(node, words)).require().text.strip() != "0"


def _name(trial: str, uid: str) -> str:
    return f"hang-{trial}-{uid}"


def _continue(uid: str) -> str:
    return _CONTINUE % uid


def _question(workload: Object) -> workloads.Question:
    found = workloads.question(workload)
    if found is None:
        raise FaultError(
            "the workload has no HTTP probe any more", remedy="leave its probes as they were"
        )
    return found
