"""What a measurement of a fault says: felt only by what the fault does, and who of the subject met
it. The cluster is what the test says that it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from measured import API, World, calm_world, node, pod

from harness.errors import UsageError
from harness.faults import (
    ConnectionsUsedUp,
    CutConnections,
    Hang,
    MemoryPressure,
    NodeLoss,
    OccupiedPool,
    Relocate,
    Scale,
    SlowDependency,
    agent_pod,
    own_pods,
    proxied,
    sessions,
    workloads,
)
from harness.faults.base import Achieved
from harness.manifest.subject_file import Role
from harness.nodes import cgroups
from harness.nodes.cgroups import PodMemory


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return calm_world(monkeypatch)


def exchange(
    *, seconds: float = 0.01, failure: str | None = None, error: str | None = None
) -> dict[str, Any]:
    return {"ok": failure is None, "seconds": seconds, "error": error, "failure": failure}


# -- the proxied ones ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clients", "met"),
    [
        ({"10.0.0.1": 3}, [("api-1", 3)]),
        ({"10.0.0.1": 3, "10.0.0.9": 1}, [("api-1", 3)]),
        ({"10.0.0.9": 7}, [("api-1", 0)]),
        ({}, [("api-1", 0)]),
    ],
)
def test_only_the_pods_of_other_roles_count_as_having_come_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, clients: Mapping[str, int], met: Sequence[tuple[str, int]]
) -> None:
    world = World(monkeypatch)
    world.says(own_pods, "ask", clients)
    world.says(proxied, "_route_name", "db-5432")

    async def behind(ctx: Any, role: Role, **_: Any) -> list[Any]:
        return [pod("api-1")] if role is API else [pod("db-0", ip="10.0.0.9")]

    monkeypatch.setattr(workloads, "pods", behind)
    seen = asyncio.run(proxied.met(world.context, "database"))
    assert [(each.by, each.count) for each in seen] == met


def test_a_slow_exchange_is_felt_and_says_who_came_through(world: World) -> None:
    world.says(agent_pod, "exchange", exchange(seconds=2.5))
    got = world.measure(SlowDependency("database", latency="3s"))
    assert (got.felt, [met.by for met in got.met]) == (True, ["api-1"])
    world.says(agent_pod, "exchange", exchange(seconds=2.3))
    assert not world.measure(SlowDependency("database", latency="3s")).felt


@pytest.mark.parametrize(("latency", "jitter"), [("3s", "3s"), ("3s", "2950ms"), ("50ms", "0s")])
def test_a_latency_that_jitter_may_take_away_altogether_is_refused(
    latency: str, jitter: str
) -> None:
    with pytest.raises(UsageError, match="cannot be told from one that was not slowed"):
        SlowDependency("database", latency=latency, jitter=jitter)


@pytest.mark.parametrize(
    ("mode", "failure", "felt"),
    [
        ("refuse", "refused", True),
        ("refuse", "cut", True),
        ("refuse", "answered", False),
        ("refuse", "silent", False),
        ("refuse", None, False),
        ("reset", "cut", True),
        ("reset", "answered", False),
        ("reset", None, False),
        ("blackhole", "silent", True),
        ("blackhole", "refused", False),
        ("blackhole", "answered", False),
    ],
)
def test_only_the_failure_that_the_mode_makes_is_felt(
    world: World, mode: Any, failure: str | None, felt: bool
) -> None:
    world.says(agent_pod, "exchange", exchange(failure=failure, error=failure))
    assert world.measure(CutConnections("database", mode=mode)).felt is felt


def test_used_up_connections_are_met_by_whoever_uses_the_database(world: World) -> None:
    world.says(agent_pod, "where", {})
    world.says(agent_pod, "ask", {"refused": "FATAL: too many clients already"})
    got = world.measure(ConnectionsUsedUp("database"))
    assert (got.felt, [met.by for met in got.met]) == (True, ["api-1"])


@pytest.mark.parametrize(
    ("answer", "felt"),
    [
        (exchange(seconds=1.2, failure="silent", error="no answer"), True),
        (exchange(seconds=1.1), True),
        (exchange(seconds=1.2, failure="cut", error="reset"), False),
        (exchange(seconds=0.5), False),
    ],
)
def test_an_occupied_pool_is_met_by_the_pod_that_waits(
    world: World, answer: Any, felt: bool
) -> None:
    world.pods(pod("api-1"))
    world.says(agent_pod, "ask", answer)
    got = world.measure(OccupiedPool("database", slower_than="5s"))
    assert got.felt is felt
    assert [met.by for met in got.met] == (["api-1"] if felt else [])


def test_a_pool_that_is_slow_by_itself_is_not_occupied_by_us(world: World) -> None:
    world.pods(pod("api-1"))
    world.says(sessions, "renew", False)
    world.says(agent_pod, "ask", exchange(seconds=5.4, failure="silent", error="no answer"))
    got = world.measure(OccupiedPool("database", slower_than="5s"))
    assert (got.felt, got.met) == (False, ())
    assert "nothing is locked" in got.note


# -- those on a workload -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "wanted", "felt", "cured"),
    [
        (3, 3, False, True),
        (3, 1, False, False),
        (1, 1, True, False),
        # Somebody set it back, and the pods are yet to come.
        (1, 3, False, True),
    ],
)
def test_a_scaled_workload_is_felt_once_it_has_so_many_pods_and_cured_by_whoever_sets_it_back(
    world: World, there: int, wanted: int, felt: bool, cured: bool
) -> None:
    world.pods(*(pod(f"api-{number}") for number in range(there)))
    world.says(workloads, "live", {"spec": {"replicas": wanted}})
    got = world.measure(Scale("workload", replicas=1))
    assert (got.felt, got.cured, bool(got.met)) == (felt, cured, felt)


def hanging(world: World, *, answers: str, left: int) -> Achieved:
    world.pods(pod("api-1"), pod("api-2"))
    world.recorded(
        "hang", uid="uid-api-1", pod="api-1", node="n1", target="workload", container="c"
    )
    world.says(workloads, "answers", answers)
    text = SimpleNamespace(require=lambda: SimpleNamespace(text=f"{left}\n"))

    async def run(*_: Any) -> Any:
        return text

    world.context.__dict__["nodes"] = SimpleNamespace(run=run)
    return world.measure(Hang("workload"))


def test_a_hang_is_met_by_the_pod_whose_processes_were_stopped(world: World) -> None:
    got = hanging(world, answers="silent", left=4)
    assert (got.felt, got.cured, [met.by for met in got.met]) == (True, False, ["api-1"])


@pytest.mark.parametrize("answers", ["answered", "refused"])
def test_a_hang_is_cured_once_its_processes_are_gone_whatever_the_pods_status_says(
    world: World, answers: str
) -> None:
    got = hanging(world, answers=answers, left=0)
    assert (got.felt, got.cured) == (False, True)


def test_a_process_that_answers_although_it_was_stopped_is_not_cured(world: World) -> None:
    got = hanging(world, answers="answered", left=4)
    assert (got.felt, got.cured) == (False, False)


def test_memory_is_that_of_the_pressed_pod_and_not_of_its_neighbour(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = {"uid-api-1": 10, "uid-api-2": 400}

    async def memory(nodes: Any, node: str, uid: str) -> PodMemory:
        size = used[uid] * 1024**2
        return PodMemory(peak=size, used=size, limit=None, failures=0)

    monkeypatch.setattr(cgroups, "pod_memory", memory)
    world.pods(pod("api-1"), pod("api-2"))
    world.recorded("memory-pressure", uid="uid-api-1", node="n1", target="workload")
    fault = MemoryPressure("workload", size="200Mi")
    assert not world.measure(fault).felt
    used["uid-api-1"] = 210
    got = world.measure(fault)
    assert (got.felt, [met.by for met in got.met]) == (True, ["api-1"])


def lease(node: str, age: float) -> dict[str, Any]:
    renewed = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    spec = {"renewTime": renewed, "leaseDurationSeconds": 40}
    return {"metadata": {"name": node}, "spec": spec}


def test_the_lost_node_is_the_one_that_was_lost(world: World) -> None:
    world.pods(pod("worker-1", node="n1"), pod("worker-2", node="n2"))
    world.listed["Node"] = [node("cp", "True"), node("n1", "True"), node("n2", "Unknown")]
    world.listed["Lease"] = [lease("n1", 5), lease("n2", 300), lease("cp", 1)]
    fault = NodeLoss("worker")
    assert world.measure(fault).felt, "before the injection no worker may be lost"
    world.recorded("lost-node", node="n1", mode="paused", guard="g")
    assert not world.measure(fault).felt, "another node's Lease says nothing of this one"
    world.listed["Node"][1] = node("n1", "Unknown")
    world.listed["Lease"][0] = lease("n1", 60)
    got = world.measure(fault)
    assert (got.felt, [met.by for met in got.met]) == (True, ["worker-1"])


def test_those_that_had_to_move_are_the_new_pods(world: World) -> None:
    moved = pod("api-new", node="n2")
    moved["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}
    cordoned = node("n1", "True")
    cordoned["metadata"]["annotations"] = {"resilience-harness.dev/cordoned-by": "t1"}
    cordoned["spec"]["unschedulable"] = True
    world.listed["Node"] = [cordoned, node("n2", "True")]
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}
    world.says(workloads, "live", {"spec": {"template": template}})
    world.pods(pod("api-old"), moved)
    got = world.measure(Relocate("workload"))
    assert (got.felt, [met.by for met in got.met]) == (True, ["api-new"])
