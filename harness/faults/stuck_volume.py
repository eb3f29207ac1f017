"""A volume that comes free, or is mounted, late or not at all: operations of the storage driver.

The driver is the add-on `csi`; a ConfigMap of its namespace delays or refuses one operation for the
claims of the target's pods, and ends by itself unless it is renewed. The proof is an exchange with
a volume of our own, provisioned beside the target's: a VolumeAttachment is made and deleted, or a
pod that mounts it, and the driver's own log of calls tells how long the cluster had to wait. So the
fault can be felt although nobody has moved a pod of the target yet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, get_args

from harness.addons import csi
from harness.declare import register
from harness.errors import UsageError
from harness.faults import own_pods, probe_volume, workloads
from harness.faults.base import SUPPORTED, Achieved, Fault, FaultContext, Met, Support
from harness.faults.probe_volume import CLAIM, EXCHANGE_S, Operation, Probe
from harness.history.facts import Json
from harness.images.host_facts import HostFacts
from harness.kube.eventually import eventually
from harness.labels import TRIAL, of_trial
from harness.manifest.objects import Object, name_of, namespace_of, pod_spec, pods_of_role
from harness.manifest.subject_file import Role
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo
from harness.units import seconds

UNDO = "csi-fault"
TTL_S = 120.0
"""The fault ends by itself this long after it was last renewed; each measurement renews it."""

_SHARE = 0.8
"""An operation that took this share of the asked delay was delayed; less, and it was not."""
_HELD_S = 3.0
"""Under way for this long, an operation is being held: without a fault it takes under a second."""
_LEAST_DELAY_S = 3.0
_IN_FORCE_S = 20.0


@register("fault", "stuck-volume")
@dataclass(frozen=True)
class StuckVolume(Fault):
    """An operation on the volumes of the target's pods takes `delay`, or fails with `refuse`.

    At least one of the two must be given; with both, the operation fails after the delay. It is
    one that the cluster asks of the driver: `attach`, `detach`, `mount` or `unmount`. The target's
    pods must have a claim of StorageClass `harness-attachable`.
    """

    operation: Operation = field(default="detach", kw_only=True)
    delay: str = field(default="0s", kw_only=True)
    refuse: str = field(default="", kw_only=True)

    addons: ClassVar[tuple[str, ...]] = ("csi",)

    def __post_init__(self) -> None:
        if self.operation not in get_args(Operation):
            raise UsageError(
                f"StuckVolume cannot hold {self.operation!r}",
                remedy=f"choose one of {', '.join(get_args(Operation))}",
            )
        if not seconds(self.delay) and not self.refuse:
            raise UsageError(
                f"StuckVolume({self.target!r}) holds nothing",
                remedy='give delay="30s" or refuse="no more volumes on this node"',
            )
        if 0 < seconds(self.delay) < _LEAST_DELAY_S:
            raise UsageError(
                f"a delay of {self.delay} cannot be told from a busy machine",
                remedy=f"give at least {_LEAST_DELAY_S:g}s",
            )

    @property
    def onset(self) -> str:
        """For sentences: 41 s after <the worker's volumes got stuck>."""
        return f"the {self.target}'s volumes got stuck"

    def describe(self) -> str:
        """One line for tables."""
        parts = []
        if seconds(self.delay):
            parts.append(f"takes {self.delay}")
        if self.refuse:
            parts.append(f'fails with "{self.refuse}"')
        return f"{self.operation} of the {self.target}'s volumes {' and '.join(parts)}"

    @classmethod
    def host_support(cls, host: HostFacts) -> Support:
        """Every host that can run nodes; the driver is built once."""
        if csi.PROGRAM.folder().is_dir():
            return SUPPORTED
        return Support("supported", "its first use builds the add-on csi from Go modules")

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """Pods with a claim of the StorageClass that the add-on serves."""
        behind = pods_of_role(objects, role.ref)
        if any(csi.ATTACHABLE in _classes(workload, objects) for workload in behind):
            return SUPPORTED
        return Support(
            "unsupported",
            f"no pod of {role.ref} has a claim of StorageClass {csi.ATTACHABLE}, the one whose "
            "driver can be delayed",
        )

    def prepare(self, objects: Sequence[Object], ctx: FaultContext) -> list[Object]:
        """A volume of our own beside those of the target, for the measurements."""
        if own_pods.there(objects, "PersistentVolumeClaim", CLAIM, ctx):
            return list(objects)
        return [*objects, probe_volume.claim(ctx)]

    async def inject(self, ctx: FaultContext) -> None:
        """A ConfigMap for each claim of the target's pods, and one for ours."""
        role = ctx.role(self.target)
        theirs = ctx.namespace_of(role.ref)
        claims = [(theirs, claim) for claim in await _claims(ctx, role)]
        claims.append((ctx.own_namespace, CLAIM))
        names = {
            where: f"{self.operation}-{number}-{ctx.trial}" for number, where in enumerate(claims)
        }
        ctx.record(UNDO, {"names": sorted(names.values())})
        for (namespace, claim), name in names.items():
            await ctx.kube.create(
                csi.fault(
                    name,
                    operation=self.operation,
                    claim_namespace=namespace,
                    claim=claim,
                    delay=timedelta(seconds=seconds(self.delay)) or None,
                    refuse=self.refuse,
                    expires=_expiry(),
                    labels=of_trial(ctx.trial),
                )
            )

        async def in_force() -> bool:
            return all([await csi.known(ctx.kube, name) for name in names.values()])

        what = f"the storage driver knows {', '.join(names.values())}"
        await eventually(in_force, within=_IN_FORCE_S, what=what)

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Move our own volume once, or look how long it has been on its way; renews the fault."""
        role = ctx.role(self.target)
        await self._renew(ctx)
        probe = await Probe.of(ctx, self.operation)
        asked: Json = {"operation": self.operation}
        if seconds(self.delay):
            asked["seconds_at_least"] = seconds(self.delay)
        if self.refuse:
            asked["refused"] = self.refuse
        deadline = time.monotonic() + EXCHANGE_S
        since = await probe.begin()
        while True:
            done = await probe.advance()
            calls = await self._calls(ctx, ctx.own_namespace)
            ours = [c for c in calls if c.claim == CLAIM and c.began >= since]
            achieved = _told(ours)
            felt = self._felt(ours)
            if felt or done or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        await probe.end()
        theirs = await self._calls(ctx, ctx.namespace_of(role.ref))
        if theirs:
            achieved["of_target"] = _told(theirs)
        met = await self._met(ctx, role)
        return Achieved(felt, asked, achieved, self._note(achieved, done=done), met)

    async def _met(self, ctx: FaultContext, role: Role) -> tuple[Met, ...]:
        """The target's pods whose volumes the driver would hold: whether anybody asks it to is
        what a configuration decides."""
        held = set(await _claims(ctx, role))
        return tuple(
            Met(pod["metadata"]["name"], f"its claim {claim} is one that the fault is about")
            for pod in await workloads.pods(ctx, role)
            for claim in sorted(_claimed(pod) & held)
        )

    def _felt(self, calls: Sequence[csi.Call]) -> bool:
        if self.refuse and any(c.code != "OK" and self.refuse in c.message for c in calls):
            return True
        least = seconds(self.delay)
        if not least:
            return False
        return any(
            _took(c) >= (_SHARE * least if c.finished else min(_HELD_S, _SHARE * least))
            for c in calls
        )

    def _note(self, achieved: Json, *, done: bool) -> str:
        if not achieved["calls"]:
            return f"nobody asked the driver to {self.operation} within {EXCHANGE_S:g} s"
        if achieved["refused"]:
            return f"{self.operation} of our volume was refused: {achieved['refused']}"
        under = "took" if done else "has taken"
        text = f"{self.operation} of our volume {under} {achieved['seconds']:.1f} s"
        return text + (f", asked {self.delay}" if seconds(self.delay) else "")

    async def _calls(self, ctx: FaultContext, namespace: str) -> list[csi.Call]:
        found = await csi.calls(ctx.kube, claim_namespace=namespace)
        return [call for call in found if call.operation == self.operation]

    async def _renew(self, ctx: FaultContext) -> None:
        mine = await ctx.kube.list("v1", "ConfigMap", csi.NAMESPACE, labels=f"{TRIAL}={ctx.trial}")
        soon = datetime.now(UTC) + timedelta(seconds=TTL_S * 2 / 3)
        for each in mine:
            data = each["data"]
            left = datetime.fromisoformat(data["expires"])
            # What has expired stays so: its end must not be followed by a second beginning.
            if data["operation"] == self.operation and datetime.now(UTC) < left < soon:
                body = {"data": {"expires": _expiry().isoformat(timespec="milliseconds")}}
                await ctx.kube.patch(
                    "v1", "ConfigMap", each["metadata"]["name"], csi.NAMESPACE, body
                )


@undo(UNDO)
async def heal(record: Record, world: World) -> None:
    """Delete the ConfigMaps; calls that are held go on at once."""
    kube = await world.kube(record)
    for name in record.data["names"]:
        await kube.delete("v1", "ConfigMap", name, csi.NAMESPACE)

    async def out_of_force() -> bool:
        return not any([await csi.known(kube, name) for name in record.data["names"]])

    await eventually(out_of_force, within=_IN_FORCE_S, what="the storage driver forgets the fault")


async def _claims(ctx: FaultContext, role: Role) -> list[str]:
    """The claims of the target's pods that our driver serves, by name."""
    namespace = ctx.namespace_of(role.ref)
    names = {name for pod in await workloads.pods(ctx, role) for name in _claimed(pod)}
    claims = await ctx.kube.list("v1", "PersistentVolumeClaim", namespace)
    return sorted(
        name
        for claim in claims
        if (name := claim["metadata"]["name"]) in names
        and claim["spec"].get("storageClassName") == csi.ATTACHABLE
    )


def _claimed(pod: Object) -> set[str]:
    """The claims that a pod mounts, by name."""
    return {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes") or []
        if "persistentVolumeClaim" in volume
    }


def _classes(workload: Object, objects: Sequence[Object]) -> set[str]:
    """The StorageClasses of a workload's claims, as far as the manifests name them."""
    templates = (workload.get("spec") or {}).get("volumeClaimTemplates") or []
    names = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in (pod_spec(workload) or {}).get("volumes") or []
        if volume.get("persistentVolumeClaim")
    }
    claims = [
        o
        for o in objects
        if o["kind"] == "PersistentVolumeClaim"
        and name_of(o) in names
        # A claim that a variant adds may still be without one: it goes into the default namespace.
        and namespace_of(o) in (None, namespace_of(workload))
    ]
    return {str(claim["spec"].get("storageClassName")) for claim in [*templates, *claims]}


def _expiry() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=TTL_S)


def _took(call: csi.Call) -> float:
    return ((call.finished or datetime.now(UTC)) - call.began).total_seconds()


def _told(calls: Sequence[csi.Call]) -> Json:
    """What the driver says of some calls: how many, how long the longest, how many are held."""
    refused = [c.message for c in calls if c.code not in ("", "OK")]
    return {
        "calls": len(calls),
        "seconds": round(max((_took(c) for c in calls), default=0.0), 3),
        "under_way": sum(c.finished is None for c in calls),
        "refused": refused[-1] if refused else None,
    }
