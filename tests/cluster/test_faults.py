"""Every fault's whole cycle on a real cluster: not felt, injected, felt, healed, not felt.

One deployment serves several of them; a fault that was not healed would be felt by the next one's
control measurement. The faults on volumes and nodes need four nodes: see tests/storage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from order import recorded_first

from harness.authoring.app import App
from harness.authoring.injection import Injected
from harness.faults import (
    ConnectionsUsedUp,
    CutConnections,
    DeletePods,
    Exploit,
    Hang,
    HeapAtStart,
    MemoryPressure,
    OccupiedPool,
    RollingRestart,
    Scale,
    SlowDependency,
    SlowStart,
    TaggedImage,
    agent_pod,
    in_node,
    intruder,
    proxied,
)
from harness.faults.base import Fault
from harness.kube.eventually import eventually
from harness.undo.registry import undo_of

SHOP = Path(__file__).parents[1] / "foreign" / "shop"

Inject = Callable[..., AbstractAsyncContextManager[Injected]]

DEPENDENCY: list[Fault] = [
    SlowDependency("database", latency="1500ms"),
    SlowDependency("database", latency="1s", jitter="200ms"),
    SlowDependency("database", bandwidth="20k"),
    CutConnections("database", mode="refuse"),
    CutConnections("database", mode="reset"),
    CutConnections("database", mode="blackhole"),
]
SESSIONS: list[Fault] = [
    ConnectionsUsedUp("database"),
    OccupiedPool("database", slower_than="3s"),
]
WORKLOAD: list[Fault] = [
    Hang("workload", pods=1),
    MemoryPressure("workload", size="200Mi"),
    SlowStart("workload", delay="100s"),
    HeapAtStart("workload"),
    DeletePods("workload"),
    RollingRestart("workload"),
    Scale("workload", replicas=1),
]
EXPLOITS: list[Fault] = [Exploit("workload", technique=each) for each in intruder.TECHNIQUES]


async def cycle(app: App, inject: Inject, fault: Fault) -> None:
    """Not felt, recorded before anything is changed, felt, healed, not felt; and its records undone
    once more, which does nothing."""
    stage = app.stage
    before = {r.id for r in stage.connections.ledger.open_records}
    with recorded_first(fault):
        async with inject(fault) as injected:
            await injected.until_felt()
            assert injected.felt, fault.describe()
            records = [r for r in stage.connections.ledger.open_records if r.id not in before]
    index = stage.faults.index(fault)
    assert not await stage.measure(index), f"{fault.describe()} is felt after its healing"
    assert {r.id for r in stage.connections.ledger.open_records} == before
    for record in records:
        await undo_of(record)(record, stage.connections.world)
    assert not await stage.measure(index)


async def test_every_fault_on_a_tcp_dependency(deploy: Any, inject: Inject) -> None:
    app: App = await deploy("payment", scale=5, in_path=["database"])
    for fault in DEPENDENCY:
        await cycle(app, inject, fault)


async def test_every_fault_that_holds_sessions(deploy: Any, inject: Inject, load: Any) -> None:
    app: App = await deploy("payment", scale=5, faults=SESSIONS)
    # Only requests occupy a pool.
    async with load(app, rate=30):
        for fault in SESSIONS:
            await cycle(app, inject, fault)


async def test_every_fault_that_holds_sessions_in_mariadb(
    deploy: Any, inject: Inject, load: Any
) -> None:
    app: App = await deploy(SHOP, scale=5, faults=SESSIONS)
    async with load(app, rate=30):
        for fault in SESSIONS:
            await cycle(app, inject, fault)


async def test_every_fault_on_a_workload(deploy: Any, inject: Inject) -> None:
    app: App = await deploy("checkout", variant="oom-heap-preallocation/hardened", scale=5)
    for fault in WORKLOAD:
        await cycle(app, inject, fault)


async def test_every_exploit(deploy: Any, inject: Inject) -> None:
    app: App = await deploy("web", scale=5)
    for fault in EXPLOITS:
        await cycle(app, inject, fault)
    tried = [each for each in app.stage.history.attempts if not each.permitted]
    assert {(each.name, each.answer) for each in tried} == {
        (technique, "refused") for technique in intruder.TECHNIQUES
    }


async def test_a_tag_that_nobody_forbids(deploy: Any, inject: Inject) -> None:
    app: App = await deploy("web", scale=5)
    await cycle(app, inject, TaggedImage("workload", tag="latest"))
    tried = {(each.target, each.answer) for each in app.stage.history.attempts}
    assert tried == {
        (f"{verb} with tag {tag}", "allowed")
        for verb in ("CREATE", "UPDATE")
        for tag in ("1.0.0", "latest")
    }


async def test_healing_one_pod_lets_no_other_go_on(deploy: Any, inject: Inject) -> None:
    app: App = await deploy("checkout", variant="deadlock-without-liveness/fragile", scale=5)
    stage = app.stage
    async with inject(Hang("workload", pods=2)) as injected:
        await injected.until_felt()
        record = next(r for r in stage.connections.ledger.open_records if r.kind == "hang")
        await undo_of(record)(record, stage.connections.world)
        waiting = f"ls {in_node.FOLDER} | grep -c 'hang-{record.data['uid']}'"
        words = ["bash", "-c", waiting]
        assert (await stage.connections.nodes.run(record.data["node"], words)).text == "0"
        await eventually(
            lambda: injected.achieved["silent_pods"] == 1, within=15.0, what="one pod goes on"
        )


async def test_what_waits_in_a_node_ends_at_its_stop_so_that_another_may_begin(
    deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_node, "TTL_S", 2.0)
    app: App = await deploy("payment", scale=5)
    connections = app.stage.connections
    nodes, node = connections.nodes, connections.cluster.nodes[0].name
    healed = f"{in_node.FOLDER}/healed"
    for _ in range(2):
        await in_node.start(nodes, node, "again", f"echo >> {healed}")
        assert await in_node.renew(nodes, node, "again")
        await in_node.stop(nodes, node, "again", f"echo >> {healed}")
        assert not await in_node.renew(nodes, node, "again")
    await in_node.start(nodes, node, "again", f"echo >> {healed}")

    async def thrice() -> bool:
        return (await nodes.run(node, ["cat", healed])).stdout == b"\n" * 3

    await eventually(thrice, within=10.0, what="the last one, not stopped, has healed by itself")
    await nodes.run(node, ["rm", healed])


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
    world = app.stage.connections.world
    await asyncio.gather(*(proxied.remove_toxics(records[0], world) for _ in range(2)))
