"""Drains, deletions and restarts: what a measurement of them does, and what it says of whom."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from measured import World, calm_world, node, pod

from harness.errors import UsageError
from harness.faults import DeletePods, Drain, RollingRestart, cordons, taken_pods, workloads
from harness.faults.base import Fault
from harness.kube.client import ApiError
from harness.manifest.objects import Ref
from harness.manifest.subject_file import Role

WORKLOAD = Role(ref=Ref("Deployment", "api", "shop"))
DAEMONS = Role(ref=Ref("DaemonSet", "agents", "shop"))
BUDGET = "Cannot evict pod as it would violate the pod's disruption budget."


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Node n1 is cordoned by the trial, n2 is not."""
    made = calm_world(monkeypatch)
    off = node("n1", "True")
    off["metadata"]["annotations"] = {cordons.CORDONED_BY: "t1"}
    off["spec"]["unschedulable"] = True
    made.listed["Node"] = [off, node("n2", "True")]
    return made


def evictions(world: World, answers: Mapping[str, ApiError | None]) -> list[dict[str, Any]]:
    """What the API server answers to the eviction of each pod; the attempts that were told."""
    told: list[dict[str, Any]] = []

    async def evict(name: str, namespace: str) -> None:
        if error := answers[name]:
            raise error

    world.__dict__["evict"] = evict
    world.context.__dict__["tell"] = lambda kind, **fields: told.append({"type": kind, **fields})
    return told


def answer(status: int, detail: str) -> ApiError:
    return ApiError(status=status, reason="", detail=detail, request="POST eviction", body={})


def leaving(name: str, **where: Any) -> dict[str, Any]:
    going = pod(name, **where)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return going


def test_each_pod_that_is_left_is_evicted_or_refused_and_both_are_told(world: World) -> None:
    told = evictions(world, {"api-1": None, "api-2": answer(429, BUDGET)})
    world.pods(pod("api-1"), pod("api-2"), leaving("api-3"), pod("elsewhere", node="n2"))
    got = world.measure(Drain("workload"))
    assert (got.felt, got.cured) == (True, False)
    assert got.achieved == {"left": 3, "leaving": 2, "refused": 1}
    assert {met.by for met in got.met} == {"api-1", "api-2", "api-3"}
    assert [(each["target"], each["answer"], each["code"]) for each in told] == [
        ("Pod/api-1", "allowed", "201"),
        ("Pod/api-2", "refused", "429"),
    ]
    assert told[1]["text"] in got.note


def test_a_pod_that_went_meanwhile_is_no_answer(world: World) -> None:
    told = evictions(world, {"api-1": answer(404, "not found")})
    world.pods(pod("api-1"))
    assert world.measure(Drain("workload")).felt
    assert told == []


def test_an_api_server_that_cannot_answer_has_refused_nothing(world: World) -> None:
    evictions(world, {"api-1": answer(500, "etcdserver: request timed out")})
    world.pods(pod("api-1"))
    with pytest.raises(ApiError):
        world.measure(Drain("workload"))


def test_a_drain_is_over_when_nothing_is_left_and_goes_on_counting(world: World) -> None:
    world.pods(pod("api-1", node="n2"))
    got = world.measure(Drain("workload"))
    assert (got.felt, got.cured, got.met) == (False, True, ())


def test_where_nobody_cordoned_a_node_nothing_is_evicted(world: World) -> None:
    world.listed["Node"][0]["metadata"]["annotations"] = {cordons.CORDONED_BY: "another"}
    world.pods(pod("api-1"))
    got = world.measure(Drain("workload"))
    assert (got.felt, got.cured) == (False, False)


def whole(world: World, available: int) -> None:
    status = {"updatedReplicas": 2, "availableReplicas": available, "replicas": 2}
    world.says(workloads, "live", {"metadata": {}, "spec": {"replicas": 2}, "status": status})


@pytest.mark.parametrize("fault", [DeletePods("workload"), RollingRestart("workload")])
def test_pods_are_taken_away_from_the_first_that_goes_until_all_are_replaced(
    world: World, fault: Fault
) -> None:
    whole(world, 2)
    world.pods(pod("api-1"), pod("api-2"))
    assert not world.measure(fault).felt, "nobody has taken a pod away"
    stood = ["uid-api-1", "uid-api-2"]
    world.recorded(taken_pods.UNDO, target="workload", pods={"uid-api-1": "api-1"}, stood=stood)
    assert not world.measure(fault).felt, "it stands still"
    world.pods(pod("api-1"), pod("api-2"), pod("api-3"))
    waiting = world.measure(fault)
    assert (waiting.felt, [met.by for met in waiting.met]) == (True, ["api-3"]), "it has begun"
    world.pods(leaving("api-1"), pod("api-2"))
    going = world.measure(fault)
    assert (going.felt, going.cured, [met.by for met in going.met]) == (True, False, ["api-1"])
    whole(world, 1)
    world.pods(pod("api-2"), pod("api-3"))
    assert world.measure(fault).felt, "its replacement is not available yet"
    whole(world, 2)
    done = world.measure(fault)
    assert (done.felt, done.cured) == (False, True)


def test_what_was_taken_from_another_role_is_not_this_faults(world: World) -> None:
    whole(world, 1)
    world.recorded(
        taken_pods.UNDO, target="worker", pods={"uid-api-1": "api-1"}, stood=["uid-api-1"]
    )
    world.pods(pod("api-2"))
    got = world.measure(DeletePods("workload"))
    assert (got.felt, got.cured) == (False, False)


def test_the_oldest_pods_are_deleted_and_no_other_of_their_name(world: World) -> None:
    deleted: list[tuple[str, str]] = []
    recorded: list[dict[str, Any]] = []

    async def delete(api: str, kind: str, name: str, namespace: str, *, uid: str) -> None:
        assert recorded, "a change before its record"
        deleted.append((name, uid))

    world.__dict__["delete"] = delete
    world.context.__dict__["record"] = lambda kind, data: recorded.append(data)
    world.pods(pod("api-1"), pod("api-2"), pod("api-3"))
    asyncio.run(DeletePods("workload", pods=2).inject(world.context))
    assert deleted == [("api-1", "uid-api-1"), ("api-2", "uid-api-2")]
    assert recorded[0]["pods"] == {"uid-api-1": "api-1", "uid-api-2": "api-2"}


def test_a_deletion_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="deletes nothing"):
        DeletePods("workload", pods=0)


@pytest.mark.parametrize(
    ("fault", "role", "why"),
    [
        (Drain("workload"), WORKLOAD, ""),
        (Drain("workload"), DAEMONS, "leaves the pods of shop/DaemonSet/agents where they are"),
        (RollingRestart("workload"), DAEMONS, ""),
        (DeletePods("workload", pods=2), WORKLOAD, ""),
        (DeletePods("workload", pods=3), WORKLOAD, "has 2 pods, 3 are to be hit"),
        (DeletePods("workload", pods=3), DAEMONS, ""),
    ],
)
def test_who_can_be_drained_deleted_and_restarted(fault: Fault, role: Role, why: str) -> None:
    objects = [
        {"kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": {"replicas": 2}}
        for kind, name in (("Deployment", "api"), ("DaemonSet", "agents"))
    ]
    support = fault.target_support(role, objects)
    assert (support.state == "supported") == (not why)
    assert why in support.why


def test_a_node_of_somebody_elses_cordon_is_not_uncordoned_by_us(world: World) -> None:
    recorded: list[dict[str, Any]] = []
    patched: list[str] = []

    async def patch(api: str, kind: str, name: str, namespace: None, body: Any) -> None:
        patched.append(name)

    world.__dict__["patch"] = patch
    world.context.__dict__["record"] = lambda kind, data: recorded.append(data)
    world.pods(pod("api-1"), pod("api-2", node="n2"))
    world.listed["Node"].append(node("n3", "True"))
    asyncio.run(Drain("workload").inject(world.context))
    assert (recorded[0]["nodes"], patched) == (["n2"], ["n2"])


def test_a_drain_that_leaves_no_node_is_refused(world: World) -> None:
    world.context.__dict__["record"] = SimpleNamespace()
    world.pods(pod("api-1"), pod("api-2", node="n2"))
    with pytest.raises(Exception, match="it cannot move"):
        asyncio.run(Drain("workload").inject(world.context))
