"""SIGKILL at every step of every change, and of every heal after it: all of it is undone.

The steps of a change are numbered: before its record, with half of it written, before and after it
is on the disk, before and after each request. For each of them a process dies there; then healers
come, and each dies one step later than the one before, until one gets through. Then the cluster is
as it was, and no ledger is left. That a record is on the disk before the first request follows from
the same steps.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from mortal import CREATED, ON_DISK, Death, Obj, Process, World, in_the_hands_of, opened

from harness.addons import addons, csi
from harness.cluster.clusters import Cluster, Node, Versions
from harness.faults import (
    CutConnections,
    Hang,
    HeapAtStart,
    MemoryPressure,
    NodeLoss,
    OccupiedPool,
    Relocate,
    SlowDependency,
    SlowStart,
    StuckVolume,
    agent_pod,
    own_pods,
    probe_volume,
)
from harness.faults.base import FaultContext
from harness.manifest.subject_file import Role
from harness.undo import cluster_scoped, namespaces, registry
from harness.undo.healing import heal_dead
from harness.undo.ledger import pending

TRIAL = "t1"
OURS = f"harness-{TRIAL}"


def obj(kind: str, name: str, namespace: str = "", **rest: Any) -> Obj:
    meta = {"name": name, "uid": f"uid-{name}", "creationTimestamp": CREATED}
    if namespace:
        meta["namespace"] = namespace
    meta |= rest.pop("metadata", {})
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **rest}


def running(name: str, namespace: str, *, part: str, **labels: str) -> Obj:
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    metadata = {"labels": {own_pods.PART: part, **labels}}
    return obj("Pod", name, namespace, metadata=metadata, status=status, spec={})


PROBE = {"httpGet": {"port": 8080, "path": "/"}, "timeoutSeconds": 1}
CONTAINER = {
    "name": "api",
    "image": "api:1",
    "livenessProbe": PROBE,
    "env": [{"name": "LEVEL", "value": "info"}],
    "resources": {"limits": {"memory": "64Mi"}},
}
STATUS = {"name": "api", "containerID": "containerd://c0ffee", "state": {"running": {}}}
VOLUME = {"name": "files", "persistentVolumeClaim": {"claimName": "files"}}
CLUSTER = [
    *(obj("Node", name, spec={}) for name in ("cp", "n1", "n2")),
    obj("Service", "db", "shop", spec={"selector": {"app": "db"}, "ports": [{"port": 5432}]}),
    obj(
        "Deployment",
        "api",
        "shop",
        spec={
            "selector": {"matchLabels": {"app": "api"}},
            "template": {"spec": {"containers": [CONTAINER], "volumes": [VOLUME]}},
        },
    ),
    obj(
        "Pod",
        "api-1",
        "shop",
        metadata={"labels": {"app": "api"}},
        spec={"nodeName": "n1", "containers": [CONTAINER], "volumes": [VOLUME]},
        status={"phase": "Running", "containerStatuses": [STATUS], "podIPs": [{"ip": "10.0.0.1"}]},
    ),
    obj("PersistentVolumeClaim", "files", "shop", spec={"storageClassName": csi.ATTACHABLE}),
    obj("PersistentVolumeClaim", probe_volume.CLAIM, OURS, spec={"volumeName": "pv-1"}),
    running("proxy-db.shop", OURS, part="proxy", **{"resilience-harness.dev/proxy-of": "db"}),
    running(agent_pod.NAME, OURS, part=agent_pod.NAME),
]
ROLES = {
    "workload": Role.model_validate(
        {
            "ref": "shop/Deployment/api",
            "start_delay": "DELAY",
            "greedy": {"image": "api:2", "memory": "1Gi"},
        }
    ),
    "database": Role.model_validate({"ref": "shop/Service/db:5432", "lock": "SELECT 1"}),
}

Change = Callable[[FaultContext], Awaitable[object]]


async def a_namespace(ctx: FaultContext) -> None:
    await namespaces.create(ctx.kube, ctx.ledger, cluster=ctx.cluster, name="new", trial=TRIAL)


async def a_cluster_role(ctx: FaultContext) -> None:
    role = obj("ClusterRole", f"reader-{TRIAL}")
    await cluster_scoped.create(ctx.kube, ctx.ledger, role, cluster=ctx.cluster, trial=TRIAL)


async def a_probe_of_volumes(ctx: FaultContext) -> None:
    await (await probe_volume.Probe.of(ctx, "attach")).begin()


async def an_add_on(ctx: FaultContext) -> None:
    addons.use("csi", ctx.ledger, cluster=ctx.cluster, trial=TRIAL, namespaces=["shop"])


CHANGES: dict[str, tuple[str, Change]] = {
    "namespace": ("namespace", a_namespace),
    "cluster-object": ("cluster-object", a_cluster_role),
    "slow": ("toxics", SlowDependency("database", latency="1s").inject),
    "cut": ("toxics", CutConnections("database").inject),
    "lock": ("sessions", OccupiedPool("database", slower_than="5s").inject),
    "memory": ("memory-pressure", MemoryPressure("workload", size="32Mi").inject),
    "paused": ("lost-node", NodeLoss("workload", mode="paused").inject),
    "kubelet": ("lost-node", NodeLoss("workload", mode="kubelet-stopped").inject),
    "hang": ("hang", Hang("workload").inject),
    "relocate": ("cordon", Relocate("workload").inject),
    "slow start": ("rollout", SlowStart("workload", delay="60s").inject),
    "heap": ("rollout", HeapAtStart("workload").inject),
    "volume": ("csi-fault", StuckVolume("workload", delay="30s").inject),
    "probe": ("volume-probe", a_probe_of_volumes),
    "add-on": ("addon-use", an_add_on),
}
"""By a name: the kind of its undo, and the change."""


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage driver that knows of a fault what the API server knows."""

    async def known(kube: Any, name: str) -> bool:
        return await kube.find("v1", "ConfigMap", name, csi.NAMESPACE) is not None

    monkeypatch.setattr(csi, "known", known)


def handle(world: World, folder: Path) -> Cluster:
    roles = {"cp": "control-plane", "n1": "worker", "n2": "worker"}
    return Cluster(
        name="unit",
        kubeconfig=folder / "kubeconfig",
        context="kind-unit",
        shape="workers",
        nodes=tuple(Node(name=name, role=role) for name, role in roles.items()),
        entry_ports=(),
        uid="uid-cluster",
        versions=Versions(kubernetes="", containerd="", kind="", node_image=""),
        created=datetime.now(UTC),
        folder=folder,
        engine=cast(Any, world),
    )


def change(world: World, folder: Path, what: Change, dies_at: int | None = None) -> Process:
    """One process that makes a change, from its ledger's opening to its death or its success."""
    process = Process(dies_at)
    with in_the_hands_of(process, world):
        ledger = opened(folder)
        ctx = FaultContext(
            trial=TRIAL,
            cluster=handle(world, folder),
            kube=cast(Any, world),
            nodes=cast(Any, world),
            ledger=ledger,
            roles=ROLES,
            namespace="shop",
            images={"agent": "agent@sha256:0", "api:2": "api@sha256:2"},
        )
        with suppress(Death):
            asyncio.run(cast(Any, what(ctx)))
        ledger._lock.release()
    return process


def heal(world: World, folder: Path, dies_at: int | None = None) -> Process:
    """One healer."""

    @asynccontextmanager
    async def reached() -> AsyncIterator[Any]:
        yield world

    process = Process(dies_at)
    with in_the_hands_of(process, world), suppress(Death):
        report = asyncio.run(heal_dead(reached, folder))
        assert report.clean, report.lines()
    return process


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    return tmp_path


def test_every_kind_of_undo_is_among_them() -> None:
    ours = {
        kind
        for kind, function in registry._undo_by_kind.items()
        if function.__module__.startswith("harness.")
    }
    assert {kind for kind, _ in CHANGES.values()} == ours


@pytest.mark.parametrize("name", CHANGES)
def test_it_is_on_the_disk_before_the_first_request(name: str, home: Path) -> None:
    steps = change(World(CLUSTER), home, CHANGES[name][1]).steps
    requests = [n for n, step in enumerate(steps) if step.startswith("after ")]
    assert steps.index(ON_DISK) < min(requests, default=len(steps))


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_step_is_the_last_all_is_undone(name: str, home: Path) -> None:
    what = CHANGES[name][1]
    before = World(CLUSTER).state()
    whole = World(CLUSTER)
    steps = change(whole, home / "whole", what).steps
    assert (whole.state() != before) == (name != "add-on"), "or nothing would be tried"
    for last in range(1, len(steps) + 2):
        world, folder = World(CLUSTER), home / f"{last}"
        assert change(world, folder, what, last).dead == (last <= len(steps))
        for healers_last in itertools.count(1):
            if not heal(world, folder, healers_last).dead:
                break
        assert world.state() == before, f"died at {steps[last - 1 :][:1] or 'no step'}"
        assert pending(folder) == []
        assert not list(folder.glob("*.jsonl"))
