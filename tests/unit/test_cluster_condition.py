"""Judging a cluster from what was observed: every state and its reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from harness.cluster.clusters import ClusterRecord, NodeRecord
from harness.cluster.condition import Api, judge
from harness.cluster.kind import Container

NODES = ("shop-control-plane", "shop-worker")
WELL = Api(uid="u1", ready=frozenset(NODES))


def record(phase: str = "ready") -> ClusterRecord:
    return ClusterRecord.model_validate(
        {
            "name": "shop",
            "shape": "workers",
            "phase": phase,
            "created": datetime(2026, 1, 1, tzinfo=UTC),
            "nodes": [NodeRecord(name=name, role="worker") for name in NODES],
            "entry_ports": [],
            "recipe": "r",
            "uid": "u1",
        }
    )


def containers(*states: str) -> list[Container]:
    return [
        Container(name=name, cluster="shop", role="worker", state=state)
        for name, state in zip(NODES, states, strict=False)
    ]


def judged(**changes: Any) -> tuple[str, str]:
    given: dict[str, Any] = {
        "engine_runs": True,
        "changing": False,
        "used": False,
        "containers": containers("running", "running"),
        "made_by_us": False,
        "residue": "",
        "api": WELL,
    }
    kept = changes.pop("record", record())
    return judge(kept, **{**given, **changes})


def test_well() -> None:
    assert judged() == ("running", "")


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"changing": True, "record": None}, "creating", "another process"),
        ({"residue": "Node/a cordoned"}, "broken", "left something behind: Node/a cordoned"),
        ({"residue": "PersistentVolume/x", "used": True}, "broken", "PersistentVolume/x"),
        ({"record": None}, "foreign", "did not make"),
        ({"record": None, "made_by_us": True}, "broken", "record is gone"),
        ({"record": record("creating")}, "broken", "ended before it was ready"),
        ({"engine_runs": False, "containers": []}, "stopped", "engine does not run"),
        ({"containers": []}, "stopped", "no longer has its nodes"),
        ({"containers": containers("exited", "exited")}, "stopped", "engine was restarted"),
        ({"containers": containers("running")}, "broken", "without its node shop-worker"),
        ({"containers": containers("running", "exited")}, "broken", "shop-worker (exited)"),
        ({"containers": containers("running", "paused")}, "broken", "shop-worker is paused"),
        ({"api": Api(error="no answer")}, "broken", "no answer"),
        ({"api": Api(uid="u2", ready=frozenset(NODES))}, "broken", "kube-system has UID u2"),
        (
            {"api": Api(uid="u1", ready=frozenset(NODES[:1]))},
            "broken",
            "shop-worker is not Ready",
        ),
    ],
)
def test_not_well(changes: dict[str, Any], state: str, reason: str) -> None:
    found = judged(**changes)
    assert found[0] == state
    assert reason in found[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"containers": containers("running", "paused"), "api": None},
        {"api": None},
    ],
)
def test_a_fault_at_work_is_not_held_against_a_cluster_in_use(changes: dict[str, Any]) -> None:
    assert judged(used=True, **changes) == ("running", "")


def test_a_cluster_in_use_whose_nodes_are_gone_is_still_stopped() -> None:
    state, _ = judged(used=True, containers=containers("exited", "exited"), api=None)
    assert state == "stopped"
