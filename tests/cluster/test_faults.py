"""Every fault's whole cycle on a real cluster: not felt, injected, felt, healed, not felt.

One deployment serves all of them; a fault that was not healed would be felt by the next one's
control measurement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from harness.authoring.app import App
from harness.authoring.injection import Injected
from harness.cluster.eventually import eventually
from harness.faults import CutConnections, SlowDependency, agent_pod, proxied
from harness.faults.base import Fault

Inject = Callable[..., AbstractAsyncContextManager[Injected]]

FAULTS: list[Fault] = [
    SlowDependency("database", latency="1500ms"),
    SlowDependency("database", latency="1s", jitter="200ms"),
    SlowDependency("database", bandwidth="20k"),
    CutConnections("database", mode="refuse"),
    CutConnections("database", mode="reset"),
    CutConnections("database", mode="blackhole"),
]


async def test_every_fault_on_a_tcp_dependency(deploy: Any, inject: Inject) -> None:
    app: App = await deploy("payment", scale=5, in_path=["database"])
    for fault in FAULTS:
        async with inject(fault) as injected:
            await injected.until_felt()
            assert injected.felt, fault.describe()
        stage = app.stage
        index = stage.faults.index(fault)
        assert not await stage.measure(index), f"{fault.describe()} is felt after its healing"
        # The record is closed, and healing once more finds nothing to do.
        assert not [r for r in stage.ground.ledger.open_records if r.kind == proxied.UNDO]


async def test_toxics_end_by_themselves_when_nobody_renews_them(
    deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxied, "TTL_S", 3.0)
    app: App = await deploy("payment", scale=5, in_path=["database"])
    context, role = app.stage.context, app.stage.context.role("database")
    slow = SlowDependency("database", latency="1s")
    # Connecting takes several round trips, each a second late: longer than the toxics would last.
    assert (await agent_pod.exchange(context, role))["seconds"] < 0.5
    await slow.inject(context)
    assert (await agent_pod.exchange(context, role))["seconds"] >= 0.8

    async def quick() -> bool:
        return bool((await agent_pod.exchange(context, role))["seconds"] < 0.5)

    # Only exchanges, no measurement: those would renew it.
    await eventually(quick, within=20.0, every=0.5, what="the latency has ended by itself")
    assert not await proxied.renew(context, role), "what has expired cannot be renewed"

    # Undone from the record alone, twice at once, although nothing is left to undo.
    records = [r for r in context.ledger.open_records if r.kind == proxied.UNDO]
    assert len(records) == 1
    world = app.stage.ground.world
    await asyncio.gather(*(proxied.remove_toxics(records[0], world) for _ in range(2)))
