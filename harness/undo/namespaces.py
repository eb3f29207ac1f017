"""A trial's namespaces: made with a ledger record, deleted for real, and saying what blocks them.

Deletion is asked for and then waited for, until the API server no longer knows the namespace and no
provisioner has a volume of it left to delete.
Finalizers of others are reported, never removed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from harness.cluster.clusters import Cluster
from harness.errors import ClusterError, ResidueError, WaitTimeout
from harness.kube.client import ApiError, Kube, Obj, Resource
from harness.kube.eventually import eventually
from harness.labels import TRIAL, of_trial, value
from harness.undo.ledger import Entry, Ledger
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

DELETE_SECONDS = 120.0
# Pods of a namespace that goes have nothing left to save; SIGTERM, then this, then SIGKILL.
POD_GRACE_SECONDS = 1
_POLL_SECONDS = 0.1
_SHOWN = 10


async def create(
    kube: Kube,
    ledger: Ledger,
    *,
    cluster: Cluster,
    name: str,
    trial: str,
    labels: Mapping[str, str] | None = None,
) -> Entry:
    """Makes the namespace, recorded first; returns the entry whose undo deletes it for real.

    Raises `ClusterError` if a namespace of that name exists and is not this trial's.
    """
    entry = ledger.record("namespace", {"name": name}, cluster=cluster, trial=trial)
    namespace: Obj = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {**(labels or {}), **of_trial(trial)}},
    }
    try:
        await kube.create(namespace)
    except ApiError as error:
        if not error.conflict:
            raise
        # A repeated POST whose first answer was lost finds its own work; anything else is foreign.
        found = await kube.find("v1", "Namespace", name)
        if found is None or _trial_of(found) != trial:
            entry.done()
            raise ClusterError(
                f"namespace {name} exists already and belongs to"
                f" {_trial_of(found) if found else 'nobody known'}",
                remedy=f"See what it is (`kubectl describe namespace {name}`); delete it if it is"
                " a leftover, or choose another name.",
            ) from error
    return entry


async def delete(
    kube: Kube,
    name: str,
    *,
    within: float = DELETE_SECONDS,
    pod_grace: int | None = POD_GRACE_SECONDS,
) -> None:
    """Deletes a namespace and waits until it and its volumes are gone.

    `pod_grace` in seconds shortens what the pods ask for (None: leave it). Raises `ResidueError`
    naming what blocks if it is not gone `within` seconds.
    """
    if await kube.delete("v1", "Namespace", name) and pod_grace is not None:
        # After the namespace: no controller can make new ones in a namespace that terminates.
        await kube.delete_all("v1", "Pod", name, grace_seconds=pod_grace)

    async def gone() -> bool:
        return not (await kube.find("v1", "Namespace", name) or await _volumes(kube, name))

    try:
        await eventually(gone, within=within, every=_POLL_SECONDS, what=f"namespace {name} gone")
    except WaitTimeout as error:
        reasons = await blockers(kube, name)
        raise ResidueError(
            f"namespace {name} is not gone {within:g} s after its deletion:\n"
            + "\n".join(f"    {reason}" for reason in reasons),
            remedy="Restore the controller that owns the finalizer, so that it can finish; only if"
            " it will never come back, remove the finalizer from the object by hand.",
        ) from error


async def blockers(kube: Kube, name: str) -> list[str]:
    """Why a namespace does not go: its own conditions, then the objects with finalizers or still
    terminating in it, one line each."""
    namespace = await kube.find("v1", "Namespace", name)
    if namespace is None:
        return [
            f"its PersistentVolume {volume} is still there" for volume in await _volumes(kube, name)
        ]
    lines = [
        f"{condition['type']}: {condition.get('message', '')}"
        for condition in (namespace.get("status") or {}).get("conditions") or []
        if condition["status"] == "True"
    ]
    found = [obj for obj in await contents(kube, name) if _blocks(obj)]
    lines += [_described(obj) for obj in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN} more")
    return lines or ["no condition and no object tells; the namespace controller may be down"]


async def contents(kube: Kube, name: str) -> list[Obj]:
    """Metadata of every object in a namespace, each in its group's preferred version."""

    async def listed(resource: Resource) -> list[Obj]:
        try:
            return await kube.list(resource.api_version, resource.kind, name, metadata_only=True)
        except ApiError as error:
            if error.status in (404, 405):
                return []  # the definition went between discovery and now
            raise

    resources = [
        resource
        for resource in await kube.discovery.all()
        if resource.namespaced and resource.preferred and "list" in resource.verbs
    ]
    found = await asyncio.gather(*(listed(resource) for resource in resources))
    return [obj for objs in found for obj in objs]


async def _volumes(kube: Kube, namespace: str) -> list[str]:
    """The volumes that a namespace's claims had and that go with them, by name.

    Their provisioners delete them some seconds after the namespace.
    """
    return [
        volume["metadata"]["name"]
        for volume in await kube.list("v1", "PersistentVolume")
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        and (volume["spec"].get("claimRef") or {}).get("namespace") == namespace
    ]


@undo("namespace")
async def _delete_namespace(record: Record, world: World) -> None:
    kube = await world.kube(record)
    name = record.data["name"]
    namespace = await kube.find("v1", "Namespace", name)
    # Written before it was made: the name may be somebody else's.
    if namespace is None or _trial_of(namespace) == record.trial:
        await delete(kube, name)


def _trial_of(namespace: Obj) -> str | None:
    return value(namespace["metadata"].get("labels"), TRIAL)


def _blocks(obj: Obj) -> bool:
    metadata = obj["metadata"]
    return bool(metadata.get("finalizers") or metadata.get("deletionTimestamp"))


def _described(obj: Obj) -> str:
    metadata = obj["metadata"]
    finalizers = ", ".join(metadata.get("finalizers") or []) or "none"
    since = metadata.get("deletionTimestamp", "not asked to go yet")
    return f"{obj['kind']}/{metadata['name']}: finalizers {finalizers}; deletion since {since}"
