"""Nodes that are lost or drained, the whole cycle: not felt, injected, felt, healed, not felt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

import pytest
from order import recorded_first

from harness.authoring.app import App
from harness.authoring.injection import Injected
from harness.faults import Drain, NodeLoss, cordons, in_node, node_loss
from harness.kube.eventually import eventually
from harness.undo.record import Record
from harness.undo.registry import undo_of

Inject = Callable[..., AbstractAsyncContextManager[Injected]]

pytestmark = pytest.mark.harness("workers", exclusive=True)

VARIANT = "node-loss-default-tolerations/hardened"


def record_of(app: App, kind: str = node_loss.UNDO) -> Record:
    [record] = [r for r in app.stage.connections.ledger.open_records if r.kind == kind]
    return record


@pytest.mark.parametrize("mode", ["paused", "kubelet-stopped"])
async def test_a_lost_node(
    deploy: Any, inject: Inject, mode: Literal["paused", "kubelet-stopped"]
) -> None:
    fault = NodeLoss("worker", mode=mode)
    app: App = await deploy("checkout", variant=VARIANT, scale=5, faults=[fault])
    [pod] = await app.kube.list("v1", "Pod", app.namespace, labels="app=checkout-worker")
    with recorded_first(fault):
        async with inject(fault) as injected:
            await injected.until_felt()
            record = record_of(app)
            assert record.data["node"] == pod["spec"]["nodeName"] == injected.achieved["node"]
            assert injected.achieved["ready"] == "Unknown"
    assert not await app.stage.measure(0)
    assert not [r for r in app.stage.connections.ledger.open_records if r.kind == node_loss.UNDO]
    undo = undo_of(record)
    await asyncio.gather(*(undo(record, app.stage.connections.world) for _ in range(2)))


async def test_a_kubelet_comes_back_by_itself(deploy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_node, "TTL_S", 3.0)
    fault = NodeLoss("worker", mode="kubelet-stopped")
    app: App = await deploy("checkout", variant=VARIANT, scale=5, faults=[fault])
    context = app.stage.context
    await fault.inject(context)
    node = record_of(app).data["node"]

    async def active() -> bool:
        looked = await context.nodes.run(node, ["systemctl", "is-active", "kubelet"])
        return looked.text.strip() == "active"

    assert not await active()
    # Nothing is measured: that would renew it.
    await eventually(active, within=20, what=f"the kubelet of {node} runs again")


async def test_a_drain(deploy: Any, inject: Inject) -> None:
    fault = Drain("workload")
    app: App = await deploy("web", scale=5, faults=[fault])
    before = {pod["spec"]["nodeName"] for pod in await app.kube.list("v1", "Pod", app.namespace)}
    with recorded_first(fault):
        async with inject(fault) as injected:
            await injected.until_felt()
            record = record_of(app, cordons.UNDO)
            assert record.data["nodes"] == sorted(before)

            async def emptied() -> bool:
                return bool(injected.achieved["left"] == 0)

            await eventually(emptied, within=30, what="nothing is left on the drained nodes")
            after = await app.kube.list("v1", "Pod", app.namespace)
            assert not before & {pod["spec"].get("nodeName") for pod in after}
    assert not await app.stage.measure(0)
    undo = undo_of(record)
    await asyncio.gather(*(undo(record, app.stage.connections.world) for _ in range(2)))
    assert not await app.stage.measure(0)
