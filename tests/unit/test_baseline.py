"""What counts as residue, by lease, and what a snapshot passes over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from fake_apiserver import fake_apiserver

from harness.addons import csi
from harness.host.processes import Completed
from harness.nodes.nodes import NodeCommands
from harness.undo.baseline import (
    Key,
    NodeState,
    ResidueScope,
    Seen,
    Snapshot,
    compare,
    snapshot,
)

EXCLUSIVE = ResidueScope(trial="t1", exclusive=True)
SHARED = ResidueScope(trial="t1", exclusive=False)
COREDNS: Key = ("apps", "Deployment", "kube-system", "coredns")
VOLUME: Key = ("", "PersistentVolume", "", "pv1")
OURS: Key = ("", "Namespace", "", "prod-checkout-t1")
THEIRS: Key = ("", "Namespace", "", "prod-checkout-t2")
NODE = NodeState(
    conditions={"Ready": "True"},
    taints=(),
    unschedulable=False,
    labels={"a": "b"},
    traces=frozenset(),
)


def seen(uid: str = "1", version: str = "generation 1", trial: str = "") -> Seen:
    return Seen(uid=uid, version=version, trial=trial)


def state(objects: dict[Key, Seen] | None = None, node: NodeState = NODE) -> Snapshot:
    return Snapshot(objects=objects or {}, nodes={"worker": node})


def told(before: Snapshot, after: Snapshot, scope: ResidueScope) -> list[str]:
    return [str(residue) for residue in compare(before, after, scope)]


def test_nothing_differs() -> None:
    assert told(state({COREDNS: seen()}), state({COREDNS: seen()}), EXCLUSIVE) == []


@pytest.mark.parametrize("scope", [EXCLUSIVE, SHARED])
def test_a_namespace_of_the_trial_is_residue_under_any_lease(scope: ResidueScope) -> None:
    assert told(state(), state({OURS: seen(trial="t1")}), scope) == [
        "left over: Namespace/prod-checkout-t1"
    ]


@pytest.mark.parametrize("scope", [EXCLUSIVE, SHARED])
def test_the_namespace_of_another_trial_is_not(scope: ResidueScope) -> None:
    assert told(state(), state({THEIRS: seen(trial="t2")}), scope) == []
    assert told(state({THEIRS: seen(trial="t2")}), state(), scope) == []


def test_what_anybody_may_have_done_counts_only_with_an_exclusive_lease() -> None:
    before = state({COREDNS: seen(), VOLUME: seen()})
    after = state({COREDNS: seen(version="generation 2"), ("", "X", "", "new"): seen()})
    assert told(before, after, EXCLUSIVE) == [
        "changed: Deployment/coredns in kube-system (generation 1 -> generation 2)",
        "left over: X/new",
        "missing: PersistentVolume/pv1",
    ]
    assert told(before, after, SHARED) == []


def test_cluster_scoped_objects_with_the_trials_suffix_are_its_own() -> None:
    after = state({("rbac.authorization.k8s.io", "ClusterRole", "", "reader-t1"): seen()})
    assert told(state(), after, SHARED) == ["left over: ClusterRole/reader-t1"]


def test_an_object_made_anew_under_its_name_is_told() -> None:
    after = state({COREDNS: seen(uid="2")})
    assert told(state({COREDNS: seen()}), after, EXCLUSIVE) == [
        "replaced: Deployment/coredns in kube-system (another UID)"
    ]


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (NodeState(**{**vars(NODE), "conditions": {"Ready": "Unknown"}}), "conditions: Ready"),
        (NodeState(**{**vars(NODE), "taints": ("a=:NoSchedule",)}), "taints"),
        (NodeState(**{**vars(NODE), "unschedulable": True}), "unschedulable: False -> True"),
        (NodeState(**{**vars(NODE), "labels": {}}), "labels: a: 'b' -> None"),
    ],
)
def test_what_is_left_on_a_node(node: NodeState, text: str) -> None:
    (residue,) = told(state(), state(node=node), EXCLUSIVE)
    assert residue.startswith("changed: Node/worker")
    assert text in residue


GUARD = "unit harness-hang-t1-uid.service"


@pytest.mark.parametrize(
    ("before", "after", "scope", "residue"),
    [
        ([], [GUARD], SHARED, [f"left over: Node/worker ({GUARD})"]),
        ([], ["stopped process java of pod1"], SHARED, []),
        (
            ["packet filter table ip nat"],
            ["stopped process java of pod1"],
            EXCLUSIVE,
            [
                "left over: Node/worker (stopped process java of pod1)",
                "missing: Node/worker (packet filter table ip nat)",
            ],
        ),
        ([GUARD], [GUARD], EXCLUSIVE, []),
        # The guard of somebody who died ends by itself.
        ([GUARD], [], EXCLUSIVE, []),
        # Not the trial: a part of another's UID.
        ([], ["unit harness-hang-t2-at1b.service"], SHARED, []),
    ],
)
def test_what_is_left_in_a_node(
    before: list[str], after: list[str], scope: ResidueScope, residue: list[str]
) -> None:
    was, now = (state(node=replace(NODE, traces=frozenset(each))) for each in (before, after))
    assert told(was, now, scope) == residue


class Node:
    """In which two things of ours are."""

    code = 0

    async def run(self, node: str, argv: list[str], **_: Any) -> Completed:
        said = f"unit of {node}\nfile of {node}\n".encode()
        return Completed(argv=tuple(argv), code=self.code, stdout=said, stderr=b"it is paused")


@pytest.mark.parametrize("scope", [EXCLUSIVE, SHARED])
def test_a_node_that_cannot_be_asked_any_more_is_residue_under_any_lease(
    scope: ResidueScope,
) -> None:
    after = state(node=replace(NODE, silent="it is paused"))
    (residue,) = told(state(node=replace(NODE, traces=frozenset({GUARD}))), after, scope)
    assert residue == "changed: Node/worker (cannot be asked any more: it is paused)"


def item(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", **metadata}}


@pytest.mark.asyncio
async def test_a_snapshot_holds_what_lasts_and_passes_over_what_follows_another() -> None:
    def fields(manager: str, time: str, **more: str) -> dict[str, str]:
        return {"manager": manager, "time": time, **more}

    node = {
        "metadata": {"name": "n1", "labels": {"zone": "a"}},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    async with fake_apiserver() as (server, kube):
        for path, items in {
            "/api/v1/namespaces": [
                item(
                    "ours",
                    labels={
                        "app.kubernetes.io/managed-by": "resilience-harness",
                        "resilience-harness.dev/trial": "t1",
                    },
                ),
                item("labelled-by-somebody", labels={"resilience-harness.dev/trial": "t1"}),
            ],
            "/api/v1/pods": [
                item("static", namespace="kube-system"),
                item("owned", namespace="ns", ownerReferences=[{"controller": True}]),
            ],
            "/api/v1/configmaps": [
                item("kube-root-ca.crt", namespace="ns"),
                item(
                    "coredns",
                    namespace="kube-system",
                    managedFields=[
                        fields("kubeadm", "2026-01-01T00:00:00Z"),
                        fields("kubectl-edit", "2026-01-02T00:00:00Z"),
                        fields("kubelet", "2026-01-03T00:00:00Z", subresource="status"),
                    ],
                ),
            ],
            "/apis/apps/v1/deployments": [item("web", namespace="ns", generation=7)],
            "/api/v1/nodes": [node],
        }.items():
            server.answer(path, {"metadata": {}, "items": items})

        taken = await snapshot(kube, cast(NodeCommands, Node()))
        dead = Node()
        dead.code = 1
        assert "it is paused" in (await snapshot(kube, cast(NodeCommands, dead))).nodes["n1"].silent
    names = {key[3]: value for key, value in taken.objects.items()}
    assert set(names) == {"ours", "labelled-by-somebody", "static", "coredns", "web"}
    assert names["ours"].trial == "t1"
    assert names["labelled-by-somebody"].trial == ""
    assert names["web"].version == "generation 7"
    assert names["coredns"].version == "written by kubectl-edit at 2026-01-02T00:00:00Z"
    assert taken.nodes["n1"] == NodeState(
        conditions={"Ready": "True"},
        taints=("k=:NoSchedule",),
        unschedulable=False,
        labels={"zone": "a"},
        traces=frozenset({"unit of n1", "file of n1"}),
    )
    lists = [r for r in server.requests if r.path == "/api/v1/pods"]
    assert "PartialObjectMetadataList" in lists[0].headers["Accept"]


@pytest.mark.asyncio
async def test_volumes_of_ours_and_whose_they_are() -> None:
    def volume(name: str, phase: str, policy: str = "Delete", **spec: Any) -> dict[str, Any]:
        claim = {"namespace": "shop-t1", "name": name}
        spec = {"persistentVolumeReclaimPolicy": policy, "claimRef": claim, **spec}
        return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}

    ours = {"driver": csi.DRIVER}
    volumes = [
        volume("in-use", "Bound", csi=ours),
        volume("released", "Released", csi=ours),
        volume("kept", "Released", "Retain"),
        volume("another-driver", "Bound", csi={"driver": "disk.example.com"}),
        volume("leaving", "Bound") | {"metadata": {"name": "leaving", "deletionTimestamp": "now"}},
    ]
    async with fake_apiserver() as (server, kube):
        server.answer("/api/v1/persistentvolumes", {"metadata": {}, "items": volumes})
        assert await csi.in_use(kube, ["shop-t1"]) == [
            "PersistentVolume in-use of claim shop-t1/in-use",
            "PersistentVolume released of claim shop-t1/released",
        ]
        assert await csi.in_use(kube, ["shop-t2"]) == []
