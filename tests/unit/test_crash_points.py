"""Death at every step of every kind of change, and of the healer at every one of its own.

A life makes one change as the harness makes it, and undoes it. It is ended at each step in turn;
then a healer is ended at each step of its own; then one heals to the end. The world must be what it
was, and no ledger left. What the dead had sent arrives late, after its first undoing.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dying import Steps, number_writes, run
from fake_world import FakeWorld, Reach

from harness.addons import addons, csi
from harness.faults import (
    DeletePods,
    Exploit,
    Hang,
    MemoryPressure,
    NodeLoss,
    Relocate,
    Scale,
    StuckVolume,
    TaggedImage,
    agent_pod,
    own_pods,
    proxied,
    rollouts,
    sessions,
)
from harness.faults.base import FaultContext
from harness.faults.probe_volume import CLAIM, Probe
from harness.labels import MANAGED_BY, MANAGER
from harness.manifest.subject_file import Role
from harness.undo import changed_objects, cluster_scoped, healing, namespaces, registry
from harness.undo.healing import heal_dead
from harness.undo.ledger import Entry, Ledger, files

TRIAL = "t1"
OWN = f"harness-{TRIAL}"
API = Role.model_validate({"ref": "shop/Deployment/api"})
DATABASE = Role.model_validate({"ref": "shop/Service/db:5432"})

Life = Callable[[FaultContext], Awaitable[Any]]


async def _namespace(ctx: FaultContext) -> None:
    await namespaces.create(
        ctx.kube, ctx.ledger, cluster=ctx.cluster, name="new-t1", trial=ctx.trial
    )


async def _cluster_object(ctx: FaultContext) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "reader-t1"},
    }
    await cluster_scoped.create(ctx.kube, ctx.ledger, role, cluster=ctx.cluster, trial=ctx.trial)


async def _addon(ctx: FaultContext) -> None:
    addons.use("csi", ctx.ledger, cluster=ctx.cluster, trial=ctx.trial, namespaces=["new-t1"])
    await _namespace(ctx)
    await ctx.kube.create(obj("PersistentVolumeClaim", "data", "new-t1", volumeName="pv-new"))


async def _rollout(ctx: FaultContext) -> None:
    await rollouts.roll_out(ctx, API, "api", image="other", variable=("DELAY", "30"))


async def _object(ctx: FaultContext) -> None:
    before = await ctx.kube.get("apps/v1", "Deployment", "api", "shop")
    after = copy.deepcopy(before)
    after["spec"]["template"]["spec"]["containers"][0] |= {"image": "api:2", "env": [{"name": "A"}]}
    new = changed_objects.marked(obj("ConfigMap", "settings", "shop"), ctx.trial)
    for each, standing in ((after, before), (new, None)):
        await changed_objects.apply(
            ctx.kube, ctx.ledger, each, standing, cluster=ctx.cluster, trial=ctx.trial
        )


async def _asked(ctx: FaultContext) -> None:
    standing = await ctx.kube.get("apps/v1", "Deployment", "api", "shop")
    await TaggedImage("workload", tag="latest").inject(replace(ctx, standing=[standing]))


async def _probe(ctx: FaultContext) -> None:
    await (await Probe.of(ctx, "attach")).begin()


LIVES: dict[str, Life] = {
    "namespace": _namespace,
    "cluster-object": _cluster_object,
    "addon-use": _addon,
    "rollout": _rollout,
    "object": _object,
    "tagged-image": _asked,
    "volume-probe": _probe,
    "toxics": lambda ctx: proxied.install(ctx, DATABASE, [{"type": "latency"}]),
    "sessions": lambda ctx: sessions.hold(ctx, DATABASE, "used-up", {"count": 0}),
    "exploit": Exploit("workload", technique="payload-drop").inject,
    "hang": Hang("workload").inject,
    "memory-pressure": MemoryPressure("workload", size="64Mi").inject,
    "cordon": Relocate("workload").inject,
    "taken-pods": DeletePods("workload").inject,
    "scale": Scale("workload", replicas=5).inject,
    "csi-fault": StuckVolume("workload", delay="30s").inject,
    "lost-node": NodeLoss("workload").inject,
    "lost-node, its kubelet": NodeLoss("workload", mode="kubelet-stopped").inject,
}


def obj(kind: str, name: str, namespace: str = "", **spec: Any) -> dict[str, Any]:
    api = {"Deployment": "apps/v1"}.get(kind, "v1")
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}


def pod(name: str, namespace: str, **labels: str) -> dict[str, Any]:
    made = obj("Pod", name, namespace, nodeName="n1", containers=[{"name": "api"}])
    made["metadata"]["labels"] = labels
    if namespace == "shop":
        claim = {"persistentVolumeClaim": {"claimName": "files"}}
        made["spec"]["volumes"] = [{"name": "files", **claim}]
    status = {"name": "api", "containerID": "containerd://c1", "state": {"running": {}}}
    ready = {"type": "Ready", "status": "True"}
    made["status"] = {"phase": "Running", "conditions": [ready], "containerStatuses": [status]}
    return made


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeWorld:
    """An application and a database with our proxy and agent, on two workers."""
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    made = FakeWorld()
    number_writes(monkeypatch, lambda: made.steps)
    for name in ("shop", OWN, csi.NAMESPACE):
        made.add(obj("Namespace", name))
    for name in ("cp", "n1", "n2"):
        made.add(obj("Node", name, podCIDR="10.0.0.0/24"))
    container = {
        "name": "api",
        "image": "api:1",
        "livenessProbe": {"httpGet": {"port": 8080, "path": "/"}},
    }
    template = {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [container]}}
    selector = {"matchLabels": {"app": "api"}}
    api = {"selector": selector, "template": template, "replicas": 1}
    made.add(obj("Deployment", "api", "shop", **api))
    made.add(obj("Service", "db", "shop", ports=[{"port": 5432}], selector={"app": "db"}))
    made.add(pod("api-1", "shop", app="api"))
    proxy = {proxied._PROXY_LABEL: "db", MANAGED_BY: MANAGER}
    made.add(pod("proxy-db.shop", OWN, **proxy))
    made.add(pod(agent_pod.NAME, OWN, **{own_pods.PART: agent_pod.NAME}))
    made.add(pod("csi-node-1", csi.NAMESPACE, app="csi-node"))
    for name, namespace in (("files", "shop"), (CLAIM, OWN)):
        claim = {"volumeName": f"pv-{name}", "storageClassName": csi.ATTACHABLE}
        made.add(obj("PersistentVolumeClaim", name, namespace, **claim))
    return made


def live(life: Life, world: FakeWorld, dies_at: int | None = None) -> list[str]:
    """A process that makes the change and undoes it; the steps that it came to."""
    world.steps = Steps(dies_at)
    ledger = Ledger.open()

    async def process() -> None:
        ctx = FaultContext(
            trial=TRIAL,
            cluster=world.cluster,
            kube=world.kube,
            nodes=world,
            ledger=ledger,
            roles={"workload": API, "database": DATABASE},
            namespace="shop",
            images={},
            tell=lambda *_, **__: None,
        )
        await life(ctx)
        for record in ledger.open_records:
            await Entry(ledger, record).undo(Reach(world))
        ledger.close()

    run(process(), {})
    if world.steps.dead:
        ledger._lock.release()  # as the kernel does
    return world.steps.taken


def heal(world: FakeWorld, dies_at: int | None = None) -> list[str]:
    """A healer; what the dead had sent arrives while it waits for that."""
    world.steps = Steps(dies_at)

    @asynccontextmanager
    async def reach() -> AsyncIterator[Reach]:
        yield Reach(world)

    async def process() -> None:
        report = await heal_dead(reach)
        assert report.clean, report.lines()

    run(process(), {healing.LATE_SECONDS / 2: world.arrive})
    if not world.steps.dead:
        world.arrive()  # for whoever did not wait
    return world.steps.taken


def saved(world: FakeWorld) -> Callable[[], None]:
    """What puts the world and its ledgers back to now."""
    state, late = copy.deepcopy(world.state), list(world.late)
    ledgers = {path: path.read_bytes() for path in files()}

    def restore() -> None:
        world.state, world.late = copy.deepcopy(state), list(late)
        for path in {*files(), *ledgers}:
            path.unlink(missing_ok=True)
        for path, text in ledgers.items():
            path.write_bytes(text)

    return restore


def test_every_kind_of_undo_has_its_life() -> None:
    ours = {
        kind
        for kind, undo in registry._undo_by_kind.items()
        if undo.__module__.startswith("harness.")
    }
    assert {name.partition(",")[0] for name in LIVES} == ours


@pytest.mark.parametrize("name", LIVES)
def test_a_life_without_a_death_changes_the_world_and_leaves_nothing(
    name: str, world: FakeWorld
) -> None:
    before = world.seen()
    steps = live(LIVES[name], world)
    assert any(step.endswith("answered") for step in steps)
    assert world.seen() == before
    assert files() == []


@pytest.mark.parametrize("name", LIVES)
def test_the_record_is_on_the_disk_before_the_first_request(name: str, world: FakeWorld) -> None:
    steps = live(LIVES[name], world)
    first = next(step for step in steps if step.endswith("sent"))
    assert steps.index("record on the disk") < steps.index(first)
    assert steps.index("record written") < steps.index("record on the disk")


@pytest.mark.parametrize("name", LIVES)
def test_death_at_every_step_and_of_the_healer_at_every_one_of_its_own(
    name: str, world: FakeWorld, record_testsuite_property: Callable[[str, object], None]
) -> None:
    before, deaths, begin = world.seen(), 0, saved(world)
    steps = live(LIVES[name], world)
    for number, step in enumerate(steps, start=1):
        begin()
        assert live(LIVES[name], world, dies_at=number)[-1] == step
        dead = saved(world)
        healing_steps = heal(world)
        deaths += 1
        assert (world.seen(), files()) == (before, []), f"died at {number}, {step}"
        for again, healing_step in enumerate(healing_steps, start=1):
            dead()
            assert heal(world, dies_at=again)[-1] == healing_step
            heal(world)
            deaths += 1
            where = f"died at {number}, {step}; the healer at {again}, {healing_step}"
            assert (world.seen(), files()) == (before, []), where
    record_testsuite_property(f"deaths of {name}", deaths)
