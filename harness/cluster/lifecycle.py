"""A cluster's life: up and down. The only place that knows the order of its steps.

Record first, then create, then mark ready; whatever interrupts that is undone here or, after
SIGKILL, recognised by the next `up`. The user's kubeconfig is written only when asked.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from harness.cluster import blueprint, clusters, condition, kind, residue, shapes, volumes
from harness.cluster.apiserver import ApiServer
from harness.cluster.clusters import (
    DEFAULT_NAME,
    Cluster,
    ClusterRecord,
    EntryPortRecord,
    NodeRecord,
    VersionsRecord,
)
from harness.cluster.condition import Condition
from harness.cluster.kind import PortTakenError
from harness.cluster.leases import Lease, cluster_lease, lifecycle_lock
from harness.cluster.readiness import until_ready
from harness.cluster.shapes import Shape
from harness.errors import ClusterError, UsageError
from harness.host import go_programs
from harness.host.engine import Engine, ensure_engine, find_engine
from harness.host.locks import FileLock
from harness.host.progress import reporter, step
from harness.images.node_image import load_balancer_image, node_image
from harness.images.registry import ensure_registry

_PORT_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a cluster is made from."""

    engine: Engine
    kind: Path
    image: str


async def bring_up(
    name: str = DEFAULT_NAME,
    shape: str | None = None,
    *,
    or_larger: bool = False,
    rebuild: bool = False,
    lease: Lease | None = None,
) -> Cluster:
    """The cluster of that name, running; made if it is not there, rebuilt if it is not well.

    `shape` defaults to what the existing cluster has, or `single`; `or_larger`: an existing one
    of a shape that serves this one too will do. `rebuild` makes it anew in any
    case; then, and when a broken cluster has to go, those who use it are waited for, unless the
    caller hands in the exclusive `lease` that it holds. Takes about 0.3 s when there is nothing to
    do. Raises `UsageError`, `HostError`, `ClusterError`; leaves nothing half-made, also when
    cancelled.
    """
    folder = clusters.folder(clusters.valid_name(name))
    wanted = shapes.shape(shape) if shape else None
    engine = await asyncio.to_thread(ensure_engine)
    async with AsyncExitStack() as stack:
        lock = await stack.enter_async_context(lifecycle_lock(folder))
        seen = await condition.observe(name, engine, ours_to_change=True)
        if seen is not None and seen.state == "foreign":
            raise UsageError(
                f"a kind cluster {name!r} exists that the harness did not make",
                remedy="choose another name (`--cluster NAME`); it will not be touched",
            )
        existing = seen.cluster if seen else None
        if existing is not None and not rebuild:
            if wanted and not _will_do(existing, wanted, or_larger=or_larger):
                raise UsageError(
                    f"cluster {name!r} is up with shape {existing.shape}, not {wanted.name}",
                    remedy="choose another name (`--cluster NAME`) or rebuild it (`--rebuild`)",
                )
            _tell_if_outdated(seen)
            return existing
        if seen is not None:
            reporter().say(f"cluster {name}: {_why_anew(seen, rebuild=rebuild)}; rebuilding it")
            if lease is None or not lease.exclusive:
                await stack.enter_async_context(
                    cluster_lease(folder, exclusive=True, purpose="rebuilding it")
                )
        kept = shapes.shape(seen.record.shape) if seen and seen.record else shapes.shape("single")
        return await _make(name, wanted or kept, engine, lock)


def _will_do(existing: Cluster, wanted: Shape, *, or_larger: bool) -> bool:
    if or_larger:
        return shapes.shape(existing.shape).serves(wanted)
    return existing.shape == wanted.name


def _tell_if_outdated(seen: Condition | None) -> None:
    record = seen.record if seen else None
    if record is None or record.versions is None:
        return
    today = blueprint.recipe(shapes.shape(record.shape), record.versions.node_image)
    if record.recipe != today:
        _say_once(
            f"cluster {record.name} was made from another recipe than today's; "
            f"`harness up --cluster {record.name} --rebuild` renews it"
        )


@cache
def _say_once(text: str) -> None:
    reporter().say(text)


def _why_anew(seen: Condition, *, rebuild: bool) -> str:
    if seen.state == "running" and rebuild:
        return "running, but a new one is asked for"
    return f"{seen.state} ({seen.reason})"


async def take_down(name: str = DEFAULT_NAME, *, force: bool = False) -> bool:
    """Delete the cluster and everything kept of it; False if there is none.

    Raises `ClusterError` while somebody uses it, unless `force`; `UsageError` if it is not ours.
    """
    folder = clusters.folder(clusters.valid_name(name))
    async with lifecycle_lock(folder):
        engine = await asyncio.to_thread(find_engine)
        if engine is None and clusters.load_record(name) is not None:
            # Its nodes are still stored in the stopped engine: only a running one can remove them.
            engine = await asyncio.to_thread(ensure_engine)
        seen = await condition.observe(name, engine, ours_to_change=True)
        if seen is None or engine is None:
            shutil.rmtree(folder, ignore_errors=True)
            return False
        if seen.state == "foreign":
            shutil.rmtree(folder, ignore_errors=True)
            raise UsageError(
                f"the kind cluster {name!r} was not made by the harness",
                remedy=f"delete it with `kind delete cluster --name {name}` if you mean to",
            )
        if seen.holders and not force:
            users = "; ".join(map(str, seen.holders))
            raise ClusterError(
                f"cluster {name!r} is in use by {users}",
                remedy="wait for it to end, or take the cluster away from it with `--force`",
            )
        await _remove(name, seen.record, engine, await asyncio.to_thread(go_programs.kind))
        shutil.rmtree(folder)
    return True


async def merge_kubeconfig(cluster: Cluster, into: Path) -> None:
    """Write the cluster into a kubeconfig of the user's; `down` takes it out again."""
    record = clusters.load_record(cluster.name)
    if record is None or cluster.engine is None:
        raise ClusterError(
            f"{cluster.context} is not a running cluster of the harness",
            remedy="merge clusters that `harness status` shows as running",
        )
    # Recorded first: an entry that could not be written is removed without harm.
    record.merged_into = sorted({*record.merged_into, into})
    record.save()
    await kind.merge_kubeconfig(
        await asyncio.to_thread(go_programs.kind), cluster.engine, name=cluster.name, into=into
    )


async def _make(name: str, shape: Shape, engine: Engine, lock: FileLock) -> Cluster:
    with step(f"cluster {name} ({shape.summary})") as running:
        parts = await _parts(shape, engine)
        for attempt in range(1, _PORT_TRIES + 1):
            try:
                cluster = await _create(name, shape, parts, lock)
                break
            except PortTakenError:
                if attempt == _PORT_TRIES:
                    raise
                reporter().say("a port was taken meanwhile; trying others")
        versions = cluster.versions
        running.note = f"Kubernetes {versions.kubernetes}, {versions.containerd}"
    return cluster


async def _parts(shape: Shape, engine: Engine) -> _Parts:
    program, image, _ = await asyncio.gather(
        asyncio.to_thread(go_programs.kind),
        asyncio.to_thread(node_image, engine),
        asyncio.to_thread(ensure_registry, engine),
    )
    if shape.control_planes > 1:
        await asyncio.to_thread(load_balancer_image, engine)
    return _Parts(engine=engine, kind=program, image=image)


async def _create(name: str, shape: Shape, parts: _Parts, lock: FileLock) -> Cluster:
    folder = clusters.folder(name)
    await _remove(name, clusters.load_record(name), parts.engine, parts.kind)
    residue.gone(folder)
    plan = blueprint.draw(name, shape)
    record = ClusterRecord(
        name=name,
        shape=shape.name,
        phase="creating",
        created=datetime.now(UTC),
        nodes=[NodeRecord(name=node, role=role) for node, role in shape.nodes(name)],
        entry_ports=[EntryPortRecord(**vars(port)) for port in plan.entry_ports],
        recipe=blueprint.recipe(shape, parts.image),
    )
    record.save()
    try:
        await kind.create(
            parts.kind,
            parts.engine,
            name=name,
            config=plan.config,
            image=parts.image,
            kubeconfig=record.kubeconfig,
            log=folder / "create.log",
            # The lock outlives a killed harness until kind has ended too, so that the next `up`
            # does not delete what is still being made.
            keep_open=[lock.descriptor],
        )
        return await _finish(record, parts)
    except BaseException:
        # Shielded: Ctrl-C, SIGTERM and errors alike leave nothing half-made.
        await asyncio.shield(asyncio.ensure_future(_undo(record, parts)))
        raise


async def _finish(record: ClusterRecord, parts: _Parts) -> Cluster:
    server = ApiServer(record.kubeconfig)
    nodes = await until_ready(server, record.nodes, parts.engine)
    info = nodes[record.nodes[0].name]["status"]["nodeInfo"]
    record.uid = await server.identity()
    record.versions = VersionsRecord(
        kubernetes=info["kubeletVersion"],
        containerd=info["containerRuntimeVersion"].replace("://", " "),
        kind=go_programs.KIND.version,
        node_image=parts.image,
    )
    record.phase = "ready"
    record.save()
    return record.cluster(parts.engine)


async def _undo(record: ClusterRecord, parts: _Parts) -> None:
    await _remove(record.name, record, parts.engine, parts.kind)
    (record.folder / "state.json").unlink(missing_ok=True)


async def _remove(name: str, record: ClusterRecord | None, engine: Engine, program: Path) -> None:
    kubeconfigs = [clusters.folder(name) / "kubeconfig", *(record.merged_into if record else [])]
    for kubeconfig in kubeconfigs:
        await kind.delete(program, engine, name=name, kubeconfig=kubeconfig)
    kubeconfigs[0].unlink(missing_ok=True)
    if record:
        await asyncio.to_thread(volumes.remove, record, engine)
