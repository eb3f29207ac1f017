"""The live pods behind a role, for faults that act on what runs and not on a Service."""

from __future__ import annotations

from collections.abc import Sequence

from harness.declare import Json
from harness.errors import FaultError
from harness.faults.base import FaultContext
from harness.manifest.objects import Object, pods_of_role
from harness.manifest.subject_file import Role

RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds that replace their pods when their template changes."""

_VERSIONS = {"Service": "v1", "Pod": "v1"}


async def bound_object(ctx: FaultContext, role: Role) -> Json:
    """The role's object as it is now."""
    ref = role.ref
    version = _VERSIONS.get(ref.kind, "apps/v1")
    return await ctx.kube.get(version, ref.kind, ref.name, ctx.namespace_of(ref))


async def live_pods(ctx: FaultContext, role: Role) -> list[Json]:
    """The role's pods that are there now, those that are going included."""
    found = await bound_object(ctx, role)
    if role.ref.kind == "Pod":
        return [found]
    selector = found["spec"].get("selector") or {}
    labels = selector if role.ref.kind == "Service" else selector.get("matchLabels") or {}
    if not labels:
        raise FaultError(
            f"{role.ref} selects no pods by labels",
            remedy="bind the role to a Service or workload with a plain label selector",
        )
    text = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return await ctx.kube.list("v1", "Pod", ctx.namespace_of(role.ref), labels=text)


def going(pod: Json) -> bool:
    """True once its deletion was asked for."""
    return "deletionTimestamp" in pod["metadata"]


def restartable(objects: Sequence[Object], role: Role) -> bool:
    """True if the role is bound to a workload that can be rolled out anew."""
    return role.ref.kind in RESTARTABLE and bool(pods_of_role(objects, role.ref))
