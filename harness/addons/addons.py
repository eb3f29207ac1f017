"""Add-ons: programs of ours that a cluster carries for many trials, such as the CSI driver.

An add-on is a folder under `kind-configs/addons/` with Go code, a Dockerfile and `manifests/`, and
a declaration here. Installing builds its images, applies its manifests and waits until it works;
doing so again costs one look. It belongs to the cluster, not to a trial: what it made, cluster-
scoped objects included, is written on its namespace, so that `uninstall` in any process knows.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.addons import csi
from harness.cluster.clusters import Cluster
from harness.cluster.leases import addon_lock
from harness.errors import ClusterError, UsageError
from harness.host import go_programs
from harness.host.engine import Engine, ensure_engine
from harness.host.go_programs import Program
from harness.host.progress import step
from harness.images import publish
from harness.images.registry import ensure_registry
from harness.kube.client import Kube, Obj
from harness.kube.eventually import eventually
from harness.labels import DOMAIN, value
from harness.manifest.images import rewrite
from harness.manifest.rollout import rollout
from harness.manifest.yaml import load_all
from harness.undo.ledger import Entry, Ledger
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

LABEL = f"{DOMAIN}/addon"
_CONTENT = f"{DOMAIN}/addon-content"
_OBJECTS = f"{DOMAIN}/addon-objects"

_READY_SECONDS = 180.0
_GONE_SECONDS = 120.0
_LEFT_SECONDS = 120.0
_USE = "addon-use"


@dataclass(frozen=True, kw_only=True)
class Addon:
    """`images` maps image names of the manifests to the program of `build` that each carries.

    `namespace` is its own. `preflight` raises `ClusterError` on a cluster that cannot carry it;
    `works` raises `AssertionError` with the reason until it does its work (its workloads are seen
    to anyway); `in_use` says what still needs it, one line each, in some namespaces or anywhere.
    """

    name: str
    namespace: str
    build: Program
    images: dict[str, str]
    preflight: Callable[[Cluster], Awaitable[None]]
    works: Callable[[Kube], Awaitable[None]]
    in_use: Callable[[Kube, Collection[str] | None], Awaitable[list[str]]]

    @property
    def folder(self) -> Path:
        """Its sources."""
        return paths.data("kind-configs") / "addons" / self.name


ADDONS = {
    "csi": Addon(
        name="csi",
        namespace=csi.NAMESPACE,
        build=csi.PROGRAM,
        images={"harness-csi": "csi", "harness-csi-attacher": "csi-attacher"},
        preflight=csi.preflight,
        works=csi.works,
        in_use=csi.in_use,
    ),
}


def addon(name: str) -> Addon:
    """The add-on of that name; raises `UsageError`."""
    if name not in ADDONS:
        known = ", ".join(sorted(ADDONS))
        raise UsageError(f"there is no add-on {name!r}", remedy=f"use one of: {known}")
    return ADDONS[name]


async def install(name: str, cluster: Cluster, *, kube: Kube | None = None) -> None:
    """The add-on, working in the cluster; about a second when it does already.

    Processes that ask at the same time wait for the one that installs. `kube` spares a connection.
    Raises `UsageError`, `HostError`, `ClusterError`; `WaitTimeout` tells what did not get ready.
    """
    wanted = addon(name)
    if kube is None:
        async with Kube.connect(cluster.kubeconfig, cluster.context) as own:
            await install(name, cluster, kube=own)
        return
    engine = cluster.engine
    if engine is None:
        engine = await asyncio.to_thread(ensure_engine)
    objects = await asyncio.to_thread(_objects, wanted, engine)
    async with addon_lock(cluster.folder, name):
        namespace = await kube.find("v1", "Namespace", wanted.namespace)
        if namespace is None or _annotations(namespace).get(_CONTENT) != _content(objects):
            await wanted.preflight(cluster)
            with step(f"add-on {name} in cluster {cluster.name}"):
                await _apply(kube, wanted, objects, _recorded(namespace))
                await _until_working(kube, wanted, objects)
                await _mark(kube, wanted, objects, content=_content(objects))
        else:
            await _until_working(kube, wanted, objects)


async def build(name: str) -> None:
    """What the add-on is made from, ready to be installed; minutes at the first time on a machine.

    Raises `UsageError`, `HostError`.
    """
    wanted = addon(name)
    engine = await asyncio.to_thread(ensure_engine)
    await asyncio.to_thread(_objects, wanted, engine)


async def uninstall(name: str, cluster: Cluster, *, kube: Kube | None = None) -> bool:
    """Takes the add-on and everything that it made out of the cluster; False if it is not there.

    Raises `ClusterError` while something needs it.
    """
    wanted = addon(name)
    if kube is None:
        async with Kube.connect(cluster.kubeconfig, cluster.context) as own:
            return await uninstall(name, cluster, kube=own)
    async with addon_lock(cluster.folder, name):
        namespace = await kube.find("v1", "Namespace", wanted.namespace)
        if namespace is None:
            return False
        if users := await wanted.in_use(kube, None):
            raise ClusterError(
                f"add-on {name} is still in use: {'; '.join(users)}",
                remedy="delete those first: without the add-on nobody would finish their deletion",
            )
        for ref in _recorded(namespace):
            await kube.delete(*ref)
        await kube.delete("v1", "Namespace", wanted.namespace)

        async def gone() -> bool:
            return await kube.find("v1", "Namespace", wanted.namespace) is None

        await eventually(
            gone, within=_GONE_SECONDS, what=f"namespace {wanted.namespace} of add-on {name} gone"
        )
    return True


def use(
    name: str, ledger: Ledger, *, cluster: Cluster, trial: str, namespaces: Sequence[str]
) -> Entry:
    """Notes that these namespaces are about to use the add-on, before they are made.

    An add-on finishes what it does for a namespace after that is gone: volumes are detached and
    deleted. The entry is older than those of the namespaces, so undoing, newest first, comes to it
    last, and waits until nothing is left.
    """
    data = {"addon": addon(name).name, "namespaces": list(namespaces)}
    return ledger.record(_USE, data, cluster=cluster, trial=trial)


@undo(_USE)
async def _until_left(record: Record, world: World) -> None:
    name, namespaces = record.data["addon"], record.data["namespaces"]
    kube = await world.kube(record)

    async def left() -> bool:
        if still := await addon(name).in_use(kube, namespaces):
            raise AssertionError("; ".join(still))
        return True

    await eventually(left, within=_LEFT_SECONDS, what=f"add-on {name} to be done with a trial")


_ClusterScoped = tuple[str, str, str]
"""API version, kind, name."""


def _objects(wanted: Addon, engine: Engine) -> list[Obj]:
    """The manifests with their images by digest and the add-on's label."""
    registry = ensure_registry(engine)
    programs = go_programs.build(wanted.build)
    references = {}
    for image, program in wanted.images.items():
        context = paths.build() / image
        context.mkdir(parents=True, exist_ok=True)
        for source in (programs / program, wanted.folder / "Dockerfile"):
            shutil.copy2(source, context)
        local = publish.build_image(engine, image, context, build_args={"PROGRAM": program})
        references[image] = str(publish.push_image(engine, registry, local))
    objects = [
        obj
        for file in sorted((wanted.folder / "manifests").glob("*.yaml"))
        for obj in load_all(file.read_text(), str(file))
    ]
    for obj in objects:
        obj["metadata"].setdefault("labels", {})[LABEL] = wanted.name
    return rewrite(objects, references)


def _content(objects: Sequence[Obj]) -> str:
    return hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()[:16]


def _cluster_scoped(wanted: Addon, objects: Sequence[Obj]) -> list[_ClusterScoped]:
    """What does not go with the namespace. In the manifests of add-ons, what names none."""
    return [
        (obj["apiVersion"], obj["kind"], obj["metadata"]["name"])
        for obj in objects
        if "namespace" not in obj["metadata"] and obj["metadata"]["name"] != wanted.namespace
    ]


def _annotations(namespace: Obj | None) -> dict[str, str]:
    return (namespace or {}).get("metadata", {}).get("annotations") or {}


def _recorded(namespace: Obj | None) -> list[_ClusterScoped]:
    return [tuple(ref) for ref in json.loads(value(_annotations(namespace), _OBJECTS) or "[]")]


async def _mark(
    kube: Kube,
    wanted: Addon,
    objects: Sequence[Obj],
    *,
    content: str,
    older: Sequence[_ClusterScoped] = (),
) -> None:
    refs = sorted({*older, *_cluster_scoped(wanted, objects)})
    body = {"metadata": {"annotations": {_CONTENT: content, _OBJECTS: json.dumps(refs)}}}
    await kube.patch("v1", "Namespace", wanted.namespace, None, body)


async def _apply(
    kube: Kube, wanted: Addon, objects: Sequence[Obj], older: Sequence[_ClusterScoped]
) -> None:
    """Namespace and record first, so that an installation cut short can be taken out."""
    await kube.apply_all([obj for obj in objects if obj["kind"] == "Namespace"])
    await _mark(kube, wanted, objects, content="", older=older)
    await kube.apply_all(objects)
    for ref in set(older) - set(_cluster_scoped(wanted, objects)):
        await kube.delete(*ref)


async def _until_working(kube: Kube, wanted: Addon, objects: Sequence[Obj]) -> None:
    async def working() -> bool:
        for obj in objects:
            if obj["kind"] in ("Deployment", "DaemonSet"):
                _require_ready(await kube.get(*_identity(obj)))
        await wanted.works(kube)
        return True

    await eventually(working, within=_READY_SECONDS, what=f"add-on {wanted.name} to work")


def _identity(obj: Obj) -> tuple[str, str, str, str]:
    metadata = obj["metadata"]
    return obj["apiVersion"], obj["kind"], metadata["name"], metadata["namespace"]


def _require_ready(obj: Obj) -> None:
    state = rollout(obj)
    if not (state.wanted and state.complete):
        what = f"{obj['kind']}/{obj['metadata']['name']}"
        raise AssertionError(
            f"{what}: {state.done} of {state.wanted} pods are up to date and ready"
        )
