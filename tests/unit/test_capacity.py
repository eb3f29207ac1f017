"""What manifests ask of a cluster, and what it has left."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.capacity import Reservation, Room, asked, free


def deployment(cpu: str, replicas: int, **spec: Any) -> dict[str, Any]:
    """A Deployment whose pods request this much."""
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"memory": "1Gi"}}}
    template = {"spec": {"containers": [container]}}
    return {
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"replicas": replicas, "template": template, **spec},
    }


def test_a_rollout_needs_room_beside_the_replicas() -> None:
    assert asked([deployment("100m", 3)]) == Room(0.4, 4 * 1024**3)
    assert asked([deployment("500m", 2, strategy={"type": "Recreate"})]).cpu == 1.0
    surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3}}
    assert asked([deployment("500m", 1, strategy=surge)]).cpu == 2.0


NODE = {
    "metadata": {"name": "n"},
    "spec": {},
    "status": {"allocatable": {"cpu": "2", "memory": "4Gi"}},
}


def pod(namespace: str, cpu: str, *, node: str = "n", phase: str = "Running") -> dict[str, Any]:
    """A pod that requests this much."""
    return {
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}],
        },
        "status": {"phase": phase},
    }


def test_what_is_free_is_what_living_pods_leave() -> None:
    pods = [pod("a", "500m"), pod("a", "1", phase="Succeeded"), pod("a", "1", node="other")]
    assert free([NODE], pods, []).cpu == 1.5
    cordoned = {**NODE, "spec": {"unschedulable": True}}
    assert free([cordoned], pods, []) == Room()


def test_a_reservation_stands_for_the_pods_in_its_namespaces() -> None:
    taken = [Reservation(Room(1.2, 1024**3), frozenset({"shop-1", "db-1"}))]
    before = free([NODE], [pod("kube-system", "100m")], taken)
    after = free([NODE], [pod("kube-system", "100m"), pod("shop-1", "1"), pod("db-1", "1")], taken)
    assert before == after
    assert before.cpu == pytest.approx(0.7)
    assert before.memory == 3 * 1024**3
