"""Memory that is charged to a pod without its application's help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
from harness.units import quantity_bytes

UNDO = "memory-pressure"
_SHARE = 0.9

# A file in a file system of memory is charged to the group of the process that writes it, and stays
# so when the process has ended: nothing is left that the kernel could kill but the application. The
# group inside the pod's counts against the pod's limit and outlives the restarts of containers.
_CHARGE = (
    cgroups.FIND
    + r"""
set -e
group=$(pod_group "$1"); [ -n "$group" ] || { echo "no group of pod $1" >&2; exit 1; }
mkdir -p "$group/harness" /run/resilience-harness
echo 0 > "$group/harness/cgroup.procs"
exec timeout 20 head -c "$2" /dev/zero > "/run/resilience-harness/charged-$3-$1"
"""
)
_RELEASE = (
    cgroups.FIND
    + r"""
rm -f /run/resilience-harness/charged-*%s
group=$(pod_group "%s")
for _ in 1 2 3 4 5 6 7 8 9 10; do
  [ -n "$group" ] && [ -d "$group/harness" ] || break
  xargs -r kill -KILL < "$group/harness/cgroup.procs" 2>/dev/null || true
  rmdir "$group/harness" 2>/dev/null || sleep 0.2
done
[ -z "$group" ] || [ ! -d "$group/harness" ]
"""
)


@register("fault", "memory-pressure")
@dataclass(frozen=True)
class MemoryPressure(Fault):
    """`size` of memory is charged to one pod of the target, as if a process in it had taken it.

    It stays charged over restarts of the containers, until it is healed. Felt: the kernel counts
    that much for the pod, or the pod's limit has been reached; so ask for more than the pod uses.
    """

    size: str = field(kw_only=True)

    def __post_init__(self) -> None:
        if quantity_bytes(self.size) < 1024**2:
            raise UsageError(f"{self.size} of memory is no pressure", remedy='give size="64Mi"')

    @property
    def onset(self) -> str:
        """For sentences: 41 s after <...>."""
        return f"{self.size} were charged to a pod of the {self.target}"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.size} of memory charged to a pod of the {self.target}"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """Any workload."""
        return workloads.support(role)

    async def inject(self, ctx: FaultContext) -> None:
        """Charge the oldest pod."""
        found = await workloads.pods(ctx, ctx.role(self.target))
        if not found:
            raise FaultError(
                f"the {self.target} has no pod to charge memory to", remedy="scale it up"
            )
        pod = found[0]
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        ctx.record(UNDO, {"node": node, "uid": uid, "target": self.target})
        await in_node.start(ctx.nodes, node, _name(ctx.trial, uid), _release(uid))
        words = ["bash", "-c", _CHARGE, "bash", uid, str(quantity_bytes(self.size)), ctx.trial]
        # The writer may be killed at the limit: that was asked for, and measuring tells.
        done = await ctx.nodes.run(node, words)
        if done.code not in (0, 124, 137):
            done.require()

    async def measure(self, ctx: FaultContext) -> Achieved:
        """What the kernel counts for the pressed pod; before that, for any of the target's."""
        size = quantity_bytes(self.size)
        pressed = {
            record.data["uid"]: record.data["node"]
            for record in ctx.ledger.open_records
            if record.kind == UNDO
            and record.trial == ctx.trial
            and record.data["target"] == self.target
        }
        for uid, node in pressed.items():
            await in_node.renew(ctx.nodes, node, _name(ctx.trial, uid))
        most, name = cgroups.PodMemory(peak=0, used=0, limit=None, failures=0), ""
        for pod in await workloads.pods(ctx, ctx.role(self.target)):
            node, uid = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
            if pressed and uid not in pressed:
                continue
            memory = node and await cgroups.pod_memory(ctx.nodes, node, uid)
            if memory and memory.used > most.used:
                most, name = memory, pod["metadata"]["name"]
        least = int(_SHARE * min(size, most.limit or size))
        asked = {"bytes_at_least": least}
        achieved = {"bytes": most.used, "limit_bytes": most.limit, "refused": most.failures}
        note = (
            f"{name or 'no pod'} uses {most.used / 1024**2:.0f}Mi "
            f"(peak {most.peak / 1024**2:.0f}Mi, {most.failures} pages refused)"
        )
        felt = most.used >= least
        met = (Met(name, f"{self.size} were charged to it"),) if felt else ()
        return Achieved(felt, asked, achieved, note, met)


@undo(UNDO)
async def release(record: Record, world: World) -> None:
    """Heal: what was charged is given back. Nothing to do if the pod is gone."""
    nodes = await world.nodes(record)
    uid = record.data["uid"]
    await in_node.stop(nodes, record.data["node"], _name(record.trial, uid), _release(uid))


def _name(trial: str, uid: str) -> str:
    return f"memory-{trial}-{uid}"


def _release(uid: str) -> str:
    return _RELEASE % (uid, uid)
