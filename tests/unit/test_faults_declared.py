"""Faults as they are declared: what is refused, what a target must offer, what they say."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from harness import declare
from harness.errors import UsageError
from harness.faults import (
    ConnectionsUsedUp,
    Hang,
    HeapAtStart,
    MemoryPressure,
    OccupiedPool,
    Scale,
    SlowDependency,
    SlowStart,
)
from harness.faults.base import Fault
from harness.faults.workloads import Question, question
from harness.manifest.objects import Object, Ref
from harness.manifest.subject_file import Role
from harness.nodes.cgroups import PodMemory, parse

API: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "api", "namespace": "n"},
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {"name": "log", "image": "log"},
                    {
                        "name": "api",
                        "image": "api",
                        "env": [{"name": "DATABASE", "value": "postgres://db:5432/shop"}],
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"port": "http", "path": "/ready"}},
                    },
                ]
            }
        },
    },
}
SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "db", "namespace": "n"},
    "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]},
}
OBJECTS = [API, SERVICE]
WORKLOAD = Ref("Deployment", "api", "n")
DATABASE = Ref("Service", "db", "n", 5432)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SlowStart("workload", delay="0s"), "delays nothing"),
        (lambda: SlowStart("workload", delay="soon"), "is no duration"),
        (lambda: Hang("workload", pods=0), "hangs nothing"),
        (lambda: MemoryPressure("workload", size="4Ki"), "is no pressure"),
        (lambda: OccupiedPool("database", slower_than="0s"), "slower than nothing"),
    ],
)
def test_what_would_do_nothing_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("fault", "role", "why"),
    [
        (HeapAtStart("workload"), Role(ref=WORKLOAD), "name one: greedy ="),
        (SlowStart("workload", delay="60s"), Role(ref=WORKLOAD), "start_delay ="),
        (Hang("workload", pods=3), Role(ref=WORKLOAD), "has 2 pods, 3 are to be hit"),
        (Hang("database"), Role(ref=DATABASE), "is no workload"),
        (Scale("workload", replicas=2), Role(ref=WORKLOAD), "declares 2 pods as it is"),
        (Scale("database", replicas=1), Role(ref=DATABASE), "declares None pods as it is"),
        (OccupiedPool("database"), Role(ref=DATABASE), "lock ="),
        (ConnectionsUsedUp("workload"), Role(ref=WORKLOAD), "is no Service"),
        (ConnectionsUsedUp("database"), Role(ref=DATABASE, protocol="redis"), "speaks redis"),
    ],
)
def test_a_target_that_cannot_carry_the_fault_is_told_why(
    fault: Fault, role: Role, why: str
) -> None:
    support = fault.target_support(role, OBJECTS)
    assert support.state == "unsupported"
    assert why in support.why


@pytest.mark.parametrize(
    ("fault", "role"),
    [
        (
            HeapAtStart("workload"),
            Role.model_validate(
                {"ref": "Deployment/api", "greedy": {"image": "api:2", "memory": "1Gi"}}
            ),
        ),
        (SlowStart("workload", delay="60s"), Role(ref=WORKLOAD, start_delay="DELAY")),
        (Hang("workload", pods=2), Role(ref=WORKLOAD)),
        (MemoryPressure("workload", size="64Mi"), Role(ref=WORKLOAD)),
        (Scale("workload", replicas=1), Role(ref=WORKLOAD)),
        (OccupiedPool("database"), Role(ref=DATABASE, lock="SELECT 1")),
        (ConnectionsUsedUp("database"), Role(ref=DATABASE)),
    ],
)
def test_a_target_that_can_is_supported_and_survives_storing(fault: Fault, role: Role) -> None:
    assert fault.target_support(role, OBJECTS).state == "supported"
    assert declare.load_declared("fault", fault.to_json()) == fault
    assert fault.describe()
    assert fault.onset


def test_what_stands_on_the_way_to_a_target_spares_the_target() -> None:
    assert SlowDependency("database", latency="3s").facts().spares_target
    # The probe of a database whose connections are used up wants one like everybody else.
    assert not ConnectionsUsedUp("database").facts().spares_target


def test_a_service_of_which_nothing_speaks_is_told_beforehand() -> None:
    silent = copy.deepcopy(API)
    silent["spec"]["template"]["spec"]["containers"][1]["env"] = [
        {"name": "DB", "value": "pg-0.pg"}
    ]
    for fault in (SlowDependency("database", latency="3s"), ConnectionsUsedUp("database")):
        support = fault.target_support(Role(ref=DATABASE), [silent, SERVICE])
        assert support.state == "degraded"
        assert "nothing in the manifests" in support.why
        assert fault.target_support(Role(ref=DATABASE), OBJECTS).state == "supported"


def test_a_greedy_release_is_one_more_image() -> None:
    role = Role.model_validate(
        {"ref": "Deployment/api", "greedy": {"image": "api:2", "memory": "1Gi"}}
    )
    assert HeapAtStart("workload").images(role) == ("api:2",)
    assert Hang("workload").images(role) == ()


def test_the_first_http_probe_is_what_is_asked() -> None:
    assert question(API) == Question("api", 8080, "/ready", 1.0)
    bare = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "x"}]}}}}
    assert question(bare) is None


def test_counters_of_both_cgroup_versions() -> None:
    first = "peak 900\nused 800\nlimit 9223372036854771712\nfailures 0"
    assert parse(first) == PodMemory(peak=900, used=800, limit=None, failures=0)
    second = "used 800\nlimit 1000\nfailures 7"
    assert parse(second) == PodMemory(peak=800, used=800, limit=1000, failures=7)
    assert parse("") is None
