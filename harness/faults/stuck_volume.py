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
from typing import ClassVar, Literal, get_args

from harness.addons import csi
from harness.declare import register
from harness.errors import UsageError
from harness.faults import workloads
from harness.faults.base import SUPPORTED, Achieved, Fault, FaultContext, Support
from harness.history.facts import Json
from harness.images.host_facts import HostFacts
from harness.kube.eventually import eventually
from harness.manifest.objects import Object, name_of, namespace_of, pod_spec, pods_of_role
from harness.manifest.subject_file import Role
from harness.undo.namespaces import MANAGED_BY, MANAGER, TRIAL
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo
from harness.units import seconds

Operation = Literal["attach", "detach", "mount", "unmount"]

UNDO = "csi-fault"
UNDO_PROBE = "volume-probe"
TTL_S = 120.0
"""The fault ends by itself this long after it was last renewed; each measurement renews it."""
PROBE = "harness-probe-volume"

_SHARE = 0.8
"""An operation that took this share of the asked delay was delayed; less, and it was not."""
_HELD_S = 3.0
"""Under way for this long, an operation is being held: without a fault it takes under a second."""
_LEAST_DELAY_S = 3.0
_EXCHANGE_S = 20.0
_IN_FORCE_S = 20.0
_BOUND_S = 30.0


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
        namespace = ctx.namespace_of(ctx.role(self.target).ref)
        if any(name_of(o) == PROBE and namespace_of(o) == namespace for o in objects):
            return list(objects)
        claim: Object = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": PROBE,
                "namespace": namespace,
                "labels": {MANAGED_BY: MANAGER},
                # What the scheduler writes for a pod: with it the volume is made without one.
                "annotations": {"volume.kubernetes.io/selected-node": _node(ctx)},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": csi.ATTACHABLE,
                "resources": {"requests": {"storage": "1Mi"}},
            },
        }
        return [*objects, claim]

    async def inject(self, ctx: FaultContext) -> None:
        """A ConfigMap for each claim of the target's pods, and one for ours."""
        role = ctx.role(self.target)
        claims = [*await _claims(ctx, role), PROBE]
        names = {
            claim: f"{self.operation}-{number}-{ctx.trial}" for number, claim in enumerate(claims)
        }
        ctx.record(UNDO, {"names": sorted(names.values())})
        for claim, name in names.items():
            await ctx.kube.create(
                csi.fault(
                    name,
                    operation=self.operation,
                    claim_namespace=ctx.namespace_of(role.ref),
                    claim=claim,
                    delay=timedelta(seconds=seconds(self.delay)) or None,
                    refuse=self.refuse,
                    expires=_expiry(),
                    labels={TRIAL: ctx.trial, MANAGED_BY: MANAGER},
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
        probe = await _Probe.of(ctx, self.operation, ctx.namespace_of(role.ref))
        asked: Json = {"operation": self.operation}
        if seconds(self.delay):
            asked["seconds_at_least"] = seconds(self.delay)
        if self.refuse:
            asked["refused"] = self.refuse
        deadline = time.monotonic() + _EXCHANGE_S
        since = await probe.begin()
        while True:
            done = await probe.advance()
            calls = await self._calls(ctx, role)
            ours = [c for c in calls if c.claim == PROBE and c.began >= since]
            achieved = _told(ours)
            felt = self._felt(ours)
            if felt or done or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        await probe.end()
        theirs = [c for c in calls if c.claim != PROBE]
        if theirs:
            achieved["of_target"] = _told(theirs)
        return Achieved(felt, asked, achieved, self._note(achieved, done=done))

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
            return f"nobody asked the driver to {self.operation} within {_EXCHANGE_S:g} s"
        if achieved["refused"]:
            return f"{self.operation} of our volume was refused: {achieved['refused']}"
        under = "took" if done else "has taken"
        text = f"{self.operation} of our volume {under} {achieved['seconds']:.1f} s"
        return text + (f", asked {self.delay}" if seconds(self.delay) else "")

    async def _calls(self, ctx: FaultContext, role: Role) -> list[csi.Call]:
        found = await csi.calls(ctx.kube, claim_namespace=ctx.namespace_of(role.ref))
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


@undo(UNDO_PROBE)
async def remove_probe(record: Record, world: World) -> None:
    """Delete what moved our volume, and wait until it is gone."""
    kube = await world.kube(record)
    where = record.data["api_version"], record.data["kind"], record.data["name"]
    await kube.delete(*where, record.data["namespace"])

    async def gone() -> bool:
        return await kube.find(*where, record.data["namespace"]) is None

    await eventually(gone, within=_EXCHANGE_S, what=f"{where[1]} {where[2]} gone")


@dataclass(frozen=True, kw_only=True)
class _Probe:
    """What moves our volume: a VolumeAttachment for attach and detach, a pod for the mounts.

    One exchange is its life: made, up, deleted, gone. `rising` operations are done when it is up,
    the others when it is gone.
    """

    ctx: FaultContext
    body: Json
    rising: bool

    @classmethod
    async def of(cls, ctx: FaultContext, operation: Operation, namespace: str) -> _Probe:
        rising = operation in ("attach", "mount")
        if operation in ("mount", "unmount"):
            return cls(ctx=ctx, body=_pod(ctx, namespace), rising=rising)
        volume = await _volume(ctx, namespace)
        body: Json = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": {
                "name": f"harness-probe-{ctx.trial}",
                "labels": {TRIAL: ctx.trial, MANAGED_BY: MANAGER},
            },
            "spec": {
                "attacher": csi.DRIVER,
                "nodeName": _node(ctx),
                "source": {"persistentVolumeName": volume},
            },
        }
        return cls(ctx=ctx, body=body, rising=rising)

    async def begin(self) -> datetime:
        """Its life is under way; returns when that began, by the API server's clock."""
        found = await self._find()
        if self.rising and found is not None and "deletionTimestamp" in found["metadata"]:
            # The end of the last exchange is not what is measured.
            await eventually(self._gone, within=_EXCHANGE_S, what="the last exchange to end")
            found = None
        if found is None:
            found = await self._create()
        return datetime.fromisoformat(found["metadata"]["creationTimestamp"])

    async def advance(self) -> bool:
        """One step on; True if the operation has come to its end."""
        found = await self._find()
        if found is None:
            return True
        up = self._up(found)
        if up and not self.rising and "deletionTimestamp" not in found["metadata"]:
            await self._delete()
        return up and self.rising

    async def end(self) -> None:
        """After a rising operation was done: make room for the next exchange."""
        found = await self._find()
        if self.rising and found is not None and self._up(found):
            await self._delete()

    def _up(self, found: Json) -> bool:
        status = found.get("status") or {}
        return bool(status.get("attached")) or status.get("phase") == "Running"

    async def _create(self) -> Json:
        record = {
            "api_version": self.body["apiVersion"],
            "kind": self.body["kind"],
            "name": self._name,
            "namespace": self._namespace,
        }
        known = [r for r in self.ctx.ledger.open_records if r.kind == UNDO_PROBE]
        if not any(r.data == record for r in known):
            self.ctx.record(UNDO_PROBE, record)
        return await self.ctx.kube.create(self.body)

    async def _find(self) -> Json | None:
        return await self.ctx.kube.find(
            self.body["apiVersion"], self.body["kind"], self._name, self._namespace
        )

    async def _gone(self) -> bool:
        return await self._find() is None

    async def _delete(self) -> None:
        await self.ctx.kube.delete(
            self.body["apiVersion"], self.body["kind"], self._name, self._namespace
        )

    @property
    def _name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def _namespace(self) -> str | None:
        namespace = self.body["metadata"].get("namespace")
        return None if namespace is None else str(namespace)


async def _volume(ctx: FaultContext, namespace: str) -> str:
    """The PersistentVolume of our claim."""

    async def bound() -> str:
        claim = await ctx.kube.get("v1", "PersistentVolumeClaim", PROBE, namespace)
        return str(claim["spec"].get("volumeName") or "")

    return await eventually(bound, within=_BOUND_S, what=f"claim {namespace}/{PROBE} bound")


async def _claims(ctx: FaultContext, role: Role) -> list[str]:
    """The claims of the target's pods that our driver serves, by name."""
    namespace = ctx.namespace_of(role.ref)
    names = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in await workloads.pods(ctx, role)
        for volume in pod["spec"].get("volumes") or []
        if "persistentVolumeClaim" in volume
    }
    claims = await ctx.kube.list("v1", "PersistentVolumeClaim", namespace)
    return sorted(
        name
        for claim in claims
        if (name := claim["metadata"]["name"]) in names
        and claim["spec"].get("storageClassName") == csi.ATTACHABLE
    )


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


def _pod(ctx: FaultContext, namespace: str) -> Json:
    """A pod that mounts our volume and does nothing; on a node that no fault touches."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": PROBE, "namespace": namespace, "labels": {MANAGED_BY: MANAGER}},
        "spec": {
            "nodeName": _node(ctx),
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": ctx.images["agent"],
                    "command": ["sleep", "3600"],
                    "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
                }
            ],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": PROBE}}],
        },
    }


def _node(ctx: FaultContext) -> str:
    return ctx.cluster.entry_node.name


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
