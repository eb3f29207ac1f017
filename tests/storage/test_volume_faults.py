"""Stuck volumes and forced moves on four nodes: not felt, injected, felt, healed, not felt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from order import recorded_first

from harness.addons import csi
from harness.authoring.app import App
from harness.authoring.injection import Injected
from harness.faults import Relocate, StuckVolume, cordons, stuck_volume
from harness.kube.eventually import eventually
from harness.undo.record import Record
from harness.undo.registry import undo_of

Inject = Callable[..., AbstractAsyncContextManager[Injected]]

pytestmark = pytest.mark.harness("workers", exclusive=True)

VARIANT = "rwo-multi-attach/hardened"
STUCK = [
    StuckVolume("worker", operation="detach", delay="5s"),
    StuckVolume("worker", operation="attach", delay="5s"),
    StuckVolume("worker", operation="mount", delay="5s"),
    StuckVolume("worker", operation="unmount", delay="5s"),
    StuckVolume("worker", operation="detach", refuse="the disk service is busy"),
]


def records_of(app: App, kind: str) -> list[Record]:
    return [r for r in app.stage.connections.ledger.open_records if r.kind == kind]


async def undone_again(app: App, record: Record) -> None:
    """Undone from the record alone, twice at once, although nothing is left to undo."""
    undo = undo_of(record)
    await asyncio.gather(*(undo(record, app.stage.connections.world) for _ in range(2)))


async def test_every_operation_that_can_get_stuck(deploy: Any, inject: Inject) -> None:
    app: App = await deploy("checkout", variant=VARIANT, scale=5, faults=STUCK)
    for fault in STUCK:
        with recorded_first(fault):
            async with inject(fault) as injected:
                await injected.until_felt()
                [record] = records_of(app, stuck_volume.UNDO)
                achieved = injected.achieved
                assert achieved["refused"] or achieved["seconds"] >= 3, fault.describe()
        index = app.stage.faults.index(fault)
        assert not await app.stage.measure(index), f"{fault.describe()} is felt after its healing"
        assert records_of(app, stuck_volume.UNDO) == []
        await undone_again(app, record)
    left = await app.kube.list("v1", "ConfigMap", csi.NAMESPACE, labels=csi.FAULT_LABEL)
    assert left == []


async def test_a_stuck_volume_comes_free_by_itself_when_nobody_renews_it(
    deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck_volume, "TTL_S", 4.0)
    stuck = StuckVolume("worker", operation="detach", delay="60s")
    app: App = await deploy("checkout", variant=VARIANT, scale=5, faults=[stuck])
    assert not await app.stage.measure(0)
    await stuck.inject(app.stage.context)
    [record] = records_of(app, stuck_volume.UNDO)
    known = [await csi.known(app.kube, name) for name in record.data["names"]]
    assert known == [True, True], "one fault for the worker's claim, one for the probe's"
    await asyncio.sleep(4.5)
    # Measured only now: a measurement renews what has not ended yet, and nothing else.
    assert not await app.stage.measure(0)


async def test_a_move_under_a_slow_detach(deploy: Any, inject: Inject) -> None:
    stuck, move = StuckVolume("worker", operation="detach", delay="6s"), Relocate("worker")
    app: App = await deploy("checkout", variant=VARIANT, scale=5, faults=[stuck, move])
    before = {pod["spec"]["nodeName"] for pod in await workers(app)}
    with recorded_first(stuck), recorded_first(move):
        async with inject(stuck, move) as injected:
            await injected.until_felt()
            [cordon] = records_of(app, cordons.UNDO)

            async def moved() -> bool:
                pods = await workers(app)
                return bool(pods) and all(ready(pod) for pod in pods)

            await eventually(moved, within=90, what="the worker is ready elsewhere")
            after = {pod["spec"]["nodeName"] for pod in await workers(app)}
            assert not before & after
            assert list(cordon.data["nodes"]) == sorted(before)
            # Not only our own volume's: the worker's was held as long as asked.
            calls = await csi.calls(app.kube, claim_namespace=app.namespace)
            theirs = [c for c in calls if c.operation == "detach"]
            assert [c.held.total_seconds() >= 6 for c in theirs] == [True]
    assert not await app.stage.measure(1)
    assert records_of(app, cordons.UNDO) == []
    # A node that somebody else cordoned afterwards is left as it is.
    [node] = cordon.data["nodes"]
    await app.kube.patch("v1", "Node", node, None, {"spec": {"unschedulable": True}})
    try:
        await undone_again(app, cordon)
        found = await app.kube.get("v1", "Node", node)
        assert found["spec"]["unschedulable"]
    finally:
        await app.kube.patch("v1", "Node", node, None, {"spec": {"unschedulable": None}})

    async def untainted() -> bool:
        return not (await app.kube.get("v1", "Node", node))["spec"].get("taints")

    await eventually(untainted, within=30, what=f"{node} takes pods again")


async def workers(app: App) -> list[dict[str, Any]]:
    found = await app.kube.list("v1", "Pod", app.namespace, labels="app=checkout-worker")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def ready(pod: dict[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"
