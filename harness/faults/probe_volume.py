"""A volume of our own beside those of a fault's target, and one exchange with it: its life.

A VolumeAttachment is made and deleted, or a pod that mounts the volume: so an operation of the
storage driver can be timed although nobody has moved a pod of the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from harness.addons import csi
from harness.faults import own_pods
from harness.faults.base import FaultContext
from harness.history.facts import Json
from harness.kube.eventually import eventually
from harness.labels import of_trial
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

Operation = Literal["attach", "detach", "mount", "unmount"]

UNDO = "volume-probe"
CLAIM = "harness-probe-volume"
EXCHANGE_S = 20.0

_BOUND_S = 30.0


def claim(ctx: FaultContext) -> Json:
    """The claim of our volume, in our namespace."""
    made = own_pods.meta(ctx, CLAIM, {own_pods.PART: "probe"})
    # What the scheduler writes for a pod: with it the volume is made without one.
    made["annotations"] = {"volume.kubernetes.io/selected-node": ctx.cluster.entry_node.name}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": made,
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": csi.ATTACHABLE,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }


@undo(UNDO)
async def remove_probe(record: Record, world: World) -> None:
    """Delete what moved our volume, and wait until it is gone."""
    kube = await world.kube(record)
    where = record.data["api_version"], record.data["kind"], record.data["name"]
    await kube.delete(*where, record.data["namespace"])

    async def gone() -> bool:
        return await kube.find(*where, record.data["namespace"]) is None

    await eventually(gone, within=EXCHANGE_S, what=f"{where[1]} {where[2]} gone")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What moves our volume: a VolumeAttachment for attach and detach, a pod for the mounts.

    One exchange is its life: made, up, deleted, gone. `rising` operations are done when it is up,
    the others when it is gone.
    """

    ctx: FaultContext
    body: Json
    rising: bool

    @classmethod
    async def of(cls, ctx: FaultContext, operation: Operation) -> Probe:
        rising = operation in ("attach", "mount")
        if operation in ("mount", "unmount"):
            return cls(ctx=ctx, body=_pod(ctx), rising=rising)
        volume = await _volume(ctx)
        body: Json = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": {
                "name": f"harness-probe-{ctx.trial}",
                "labels": of_trial(ctx.trial),
            },
            "spec": {
                "attacher": csi.DRIVER,
                "nodeName": ctx.cluster.entry_node.name,
                "source": {"persistentVolumeName": volume},
            },
        }
        return cls(ctx=ctx, body=body, rising=rising)

    async def begin(self) -> datetime:
        """Its life is under way; returns when that began, by the API server's clock."""
        found = await self._find()
        if self.rising and found is not None and "deletionTimestamp" in found["metadata"]:
            # The end of the last exchange is not what is measured.
            await eventually(self._gone, within=EXCHANGE_S, what="the last exchange to end")
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
        known = [r for r in self.ctx.ledger.open_records if r.kind == UNDO]
        if not any(r.data == record for r in known):
            self.ctx.record(UNDO, record)
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


async def _volume(ctx: FaultContext) -> str:
    """The PersistentVolume of our claim."""

    async def bound() -> str:
        claim = await ctx.kube.get("v1", "PersistentVolumeClaim", CLAIM, ctx.own_namespace)
        return str(claim["spec"].get("volumeName") or "")

    return await eventually(bound, within=_BOUND_S, what=f"claim {ctx.own_namespace}/{CLAIM} bound")


def _pod(ctx: FaultContext) -> Json:
    """A pod that mounts our volume and does nothing."""
    program = own_pods.container("probe", ctx.images["agent"], ["sleep", "3600"])
    program["volumeMounts"] = [{"name": "volume", "mountPath": "/volume"}]
    volume = {"name": "volume", "persistentVolumeClaim": {"claimName": CLAIM}}
    return own_pods.pod(ctx, CLAIM, {own_pods.PART: "probe"}, [program], [volume])
