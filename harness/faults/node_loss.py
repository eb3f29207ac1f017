"""A node that is lost: frozen as a whole, or without its kubelet while its containers go on.

Kubernetes hears nothing of the node any more. Its timers stay at their defaults: after 50 s the
node's Ready condition is Unknown and it is tainted, after the pods' own `tolerationSeconds` (300 s
where they say nothing) they are deleted and replaced, and a volume that was attached there is
detached by force another 6 minutes later.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Literal, get_args

from harness.declare import Scope, register
from harness.errors import FaultError, UsageError
from harness.faults import in_node, workloads
from harness.faults.base import SUPPORTED, Achieved, Fault, FaultContext, Met, Support
from harness.history.facts import Json
from harness.images.host_facts import HostFacts
from harness.kube.eventually import eventually
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

Mode = Literal["paused", "kubelet-stopped"]

UNDO = "lost-node"
_LEASES = "kube-node-lease"
_LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_START_KUBELET = "systemctl start kubelet"
_BACK_S = 90.0


@register("fault", "node-loss")
@dataclass(frozen=True)
class NodeLoss(Fault):
    """The node on which (most of) the target's pods run is lost, and stays lost until healed.

    `mode`: `paused` freezes every process of the node, `kubelet-stopped` stops the kubelet only.
    The control plane, where entry ports lead to, is never chosen.
    """

    mode: Mode = field(default="paused", kw_only=True)

    scope: ClassVar[Scope] = "node"
    # The Lease runs out 40 s after its last renewal, the Ready condition changes within 15 s more.
    felt_within: ClassVar[str] = "90s"
    healed_within: ClassVar[str] = "60s"

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise UsageError(
                f"NodeLoss cannot be {self.mode!r}",
                remedy=f"choose one of {', '.join(get_args(Mode))}",
            )

    @property
    def onset(self) -> str:
        """For sentences: 41 s after <the worker's node was lost>."""
        return f"the {self.target}'s node was lost"

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.target}'s node lost ({self.mode})"

    @classmethod
    def host_support(cls, host: HostFacts) -> Support:
        """Pausing needs the kernel's freezer."""
        if "freezer" in host.features:
            return SUPPORTED
        why = host.why_not("freezer")
        return Support("degraded", f"only kubelet-stopped, nodes cannot be paused: {why}")

    async def inject(self, ctx: FaultContext) -> None:
        """Pause the node's container, or stop its kubelet; recorded first."""
        node = await self._choose(ctx)
        engine = ctx.cluster.engine
        if self.mode == "paused" and engine is None:
            raise FaultError(
                f"node {node} is no container of this machine, so it cannot be paused",
                remedy='use NodeLoss(..., mode="kubelet-stopped")',
            )
        guard = f"kubelet-{ctx.trial}"
        ctx.record(UNDO, {"node": node, "mode": self.mode, "guard": guard})
        if self.mode == "paused":
            assert engine is not None
            await engine.adocker("pause", node)
            return
        await in_node.start(ctx.nodes, node, guard, _START_KUBELET)
        (await ctx.nodes.run(node, ["systemctl", "stop", "kubelet"])).require()

    async def measure(self, ctx: FaultContext) -> Achieved:
        """The age of the lost node's Lease, and what the node's Ready condition says.

        Before it is lost, and once it is healed: of the stalest Lease of any worker, since none may
        be lost then.
        """
        lost = {
            record.data["node"]: record.data
            for record in ctx.ledger.open_records
            if record.kind == UNDO and record.trial == ctx.trial
        }
        for node, data in lost.items():
            if data["mode"] == "kubelet-stopped":
                await in_node.renew(ctx.nodes, node, data["guard"])
        leases = await ctx.kube.list("coordination.k8s.io/v1", "Lease", _LEASES)
        nodes = {n["metadata"]["name"]: n for n in await ctx.kube.list("v1", "Node")}
        spared = {n.name for n in ctx.cluster.control_planes}
        asked_of = lost.keys() or nodes.keys() - spared
        workers = [each for each in leases if each["metadata"]["name"] in asked_of & nodes.keys()]
        if not workers:
            return Achieved(False, {}, {}, "the cluster has no node that may be lost")
        stalest = max(workers, key=_age)
        name = stalest["metadata"]["name"]
        lasts = float(stalest["spec"]["leaseDurationSeconds"])
        ready = _condition(nodes[name])
        asked = {"lease_seconds_at_least": lasts, "ready": "not True"}
        achieved: Json = {"node": name, "lease_seconds": round(_age(stalest), 1), "ready": ready}
        note = (
            f"the Lease of {name} is {_age(stalest):.0f} s old (lasts {lasts:g} s), Ready {ready}"
        )
        felt = _age(stalest) > lasts and ready != "True"
        return Achieved(felt, asked, achieved, note, await self._met(ctx, name) if felt else ())

    async def _met(self, ctx: FaultContext, node: str) -> tuple[Met, ...]:
        """The target's pods on the node, whatever became of them; the API still knows them."""
        role = ctx.role(self.target)
        return tuple(
            Met(pod["metadata"]["name"], f"it was on {node}")
            for pod in await workloads.pods(ctx, role, going=True)
            if pod["spec"].get("nodeName") == node
        )

    async def _choose(self, ctx: FaultContext) -> str:
        role = ctx.role(self.target)
        spared = {node.name for node in ctx.cluster.control_planes}
        hosts: Counter[str] = Counter(
            pod["spec"]["nodeName"]
            for pod in await workloads.pods(ctx, role)
            if pod["spec"].get("nodeName")
        )
        free = [name for name, _ in hosts.most_common() if name not in spared]
        others = {node.name for node in ctx.cluster.nodes} - spared
        if not free or len(others) < 2:
            raise FaultError(
                f"{role.ref} runs on {', '.join(hosts) or 'no node'}: no node can be lost so that "
                "another one is left to take its pods",
                remedy="use a cluster with more nodes: `harness up --shape workers`",
            )
        return free[0]


@undo(UNDO)
async def heal_node_loss(record: Record, world: World) -> None:
    """Unpause the node, or start its kubelet, and wait until Kubernetes counts it as there."""
    node = record.data["node"]
    if record.data["mode"] == "paused":
        await _unpause(record, world)
    else:
        nodes = await world.nodes(record)
        await in_node.stop(nodes, node, record.data["guard"], _START_KUBELET)
    kube = await world.kube(record)

    async def back() -> bool:
        found = await kube.find("v1", "Node", node)
        if found is None:
            return True
        taints = [taint["key"] for taint in found["spec"].get("taints") or []]
        if left := [key for key in taints if key in _LOST]:
            raise AssertionError(f"node {node} is still tainted {', '.join(left)}")
        return _condition(found) == "True"

    await eventually(back, within=_BACK_S, what=f"node {node} is Ready again")


async def _unpause(record: Record, world: World) -> None:
    engine = (await world.cluster(record)).engine
    if engine is None:
        raise FaultError(
            f"node {record.data['node']} is paused, and no container engine answers",
            remedy="start the engine, then run `harness heal`",
        )
    node = record.data["node"]
    look = ("inspect", "--format", "{{.State.Paused}}", node)
    if (await engine.adocker(*look, check=False)).strip() == "true":
        await engine.adocker("unpause", node)


def _age(lease: Json) -> float:
    renewed = datetime.fromisoformat(lease["spec"]["renewTime"])
    return (datetime.now(UTC) - renewed).total_seconds()


def _condition(node: Json) -> str:
    """Status of the Ready condition: True, False or Unknown."""
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return str(condition["status"])
    return "Unknown"
