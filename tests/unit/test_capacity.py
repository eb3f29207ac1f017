"""What manifests ask of a cluster, and which trials fit in side by side."""

from __future__ import annotations

from typing import Any

from harness.cluster.capacity import Room, asked
from harness.runs.schedule import side_by_side


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


def test_trials_run_side_by_side_as_far_as_they_fit() -> None:
    needs = {"a": Room(0.6), "b": Room(0.4), "c": Room(0.7), "d": Room(3.0)}
    assert side_by_side(needs, Room(1.0)) == [["a", "b"], ["c"], ["d"]]
    assert side_by_side(needs, Room(9.0)) == [["a", "b", "c", "d"]]
