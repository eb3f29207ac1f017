"""Namespaces of a trial: whose they are, and what is said when they do not go."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fake_apiserver import FakeApiServer, fake_apiserver, status

from harness.cluster.clusters import Cluster, Versions
from harness.errors import ClusterError, ResidueError
from harness.labels import TRIAL
from harness.undo import namespaces
from harness.undo.ledger import Ledger
from harness.undo.reach import open_world

pytestmark = pytest.mark.asyncio

CLUSTER = Cluster(
    name="unit",
    kubeconfig=Path("/nowhere/kubeconfig"),
    context="kind-unit",
    shape="one-node",
    nodes=(),
    entry_ports=(),
    uid="uid-1",
    versions=Versions(kubernetes="v1.36.3", containerd="", kind="", node_image=""),
    created=datetime.now(UTC),
    folder=Path("/nowhere"),
)
PATH = "/api/v1/namespaces/shop-t1"


class Namespaces:
    """One namespace that can be made, and goes when `goes` says so."""

    def __init__(self, server: FakeApiServer, *, trial: str | None, goes: bool = True) -> None:
        self.exists = trial is not None
        self.labels = {TRIAL: trial}
        self.goes = goes
        self.calls: list[str] = []
        server.on("/api/v1/namespaces", self._create)
        server.on(PATH, self._one)
        server.on(f"{PATH}/pods", self._pods)

    def _namespace(self) -> dict[str, Any]:
        message = "Some content in the namespace has finalizers remaining: shop.dev/clean in 1"
        condition = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": message}
        return {
            "metadata": {"name": "shop-t1", "labels": self.labels},
            "status": {"conditions": [] if self.goes else [condition]},
        }

    async def _create(self, request: web.Request) -> web.Response:
        if self.exists:
            return web.json_response(status(409, "AlreadyExists", "it exists"), status=409)
        self.exists = True
        self.labels = (await request.json())["metadata"]["labels"]
        return web.json_response(self._namespace(), status=201)

    async def _one(self, request: web.Request) -> web.Response:
        self.calls.append(request.method)
        if not self.exists:
            return web.json_response(status(404, "NotFound", "none"), status=404)
        if request.method == "DELETE":
            self.exists = not self.goes
        return web.json_response(self._namespace())

    async def _pods(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.calls.append(f"pods {(await request.json())['gracePeriodSeconds']}")
            return web.json_response({})
        stuck = {
            "metadata": {
                "name": "stuck",
                "namespace": "shop-t1",
                "finalizers": ["shop.dev/clean"],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
            }
        }
        return web.json_response({"metadata": {}, "items": [stuck]})


async def test_made_with_labels_and_deleted_by_its_undo(tmp_path: Path) -> None:
    async with fake_apiserver() as (server, kube), open_world() as world:
        there = Namespaces(server, trial=None)
        world.adopt(CLUSTER, kube=kube)
        with Ledger.open(tmp_path) as ledger:
            entry = await namespaces.create(
                kube, ledger, cluster=CLUSTER, name="shop-t1", trial="t1", labels={"a": "b"}
            )
            assert there.labels == {
                "a": "b",
                "app.kubernetes.io/managed-by": "resilience-harness",
                "resilience-harness.dev/trial": "t1",
            }
            await entry.undo(world)
            assert not there.exists
            assert "pods 1" in there.calls
            assert ledger.open_records == []


async def test_somebody_elses_namespace_is_neither_taken_nor_deleted(tmp_path: Path) -> None:
    async with fake_apiserver() as (server, kube), open_world() as world:
        there = Namespaces(server, trial="t9")
        world.adopt(CLUSTER, kube=kube)
        with Ledger.open(tmp_path) as ledger:
            with pytest.raises(ClusterError, match="belongs to t9"):
                await namespaces.create(kube, ledger, cluster=CLUSTER, name="shop-t1", trial="t1")
            assert ledger.open_records == []
            entry = ledger.record("namespace", {"name": "shop-t1"}, cluster=CLUSTER, trial="t1")
            await entry.undo(world)
        assert "DELETE" not in there.calls


async def test_a_namespace_that_an_earlier_version_labelled_is_still_healed(tmp_path: Path) -> None:
    async with fake_apiserver() as (server, kube), open_world() as world:
        there = Namespaces(server, trial="t1")
        there.labels = {"resilience-harness/trial": "t1"}
        world.adopt(CLUSTER, kube=kube)
        with Ledger.open(tmp_path) as ledger:
            entry = ledger.record("namespace", {"name": "shop-t1"}, cluster=CLUSTER, trial="t1")
            await entry.undo(world)
        assert not there.exists


async def test_undoing_what_was_never_made_does_nothing(tmp_path: Path) -> None:
    async with fake_apiserver() as (server, kube), open_world() as world:
        Namespaces(server, trial=None)
        world.adopt(CLUSTER, kube=kube)
        with Ledger.open(tmp_path) as ledger:
            entry = ledger.record("namespace", {"name": "shop-t1"}, cluster=CLUSTER, trial="t1")
            await entry.undo(world)


async def test_a_namespace_that_does_not_go_says_what_blocks() -> None:
    async with fake_apiserver() as (server, kube):
        Namespaces(server, trial="t1", goes=False)
        with pytest.raises(ResidueError) as caught:
            await namespaces.delete(kube, "shop-t1", within=0.3)
        text = str(caught.value)
        assert "shop-t1 is not gone 0.3 s" in text
        assert "NamespaceFinalizersRemaining" in text
        assert "Pod/stuck: finalizers shop.dev/clean; deletion since 2026" in text
        assert "finalizer" in caught.value.remedy


async def test_a_namespace_is_gone_when_its_volumes_are() -> None:
    volumes = [
        {
            "metadata": {"name": f"pv-{policy}-{namespace}"},
            "spec": {
                "persistentVolumeReclaimPolicy": policy,
                "claimRef": {"namespace": namespace, "name": "data"},
            },
        }
        for policy, namespace in (("Delete", "shop-t1"), ("Retain", "shop-t1"), ("Delete", "bank"))
    ]
    async with fake_apiserver() as (server, kube):
        Namespaces(server, trial=None)
        server.answer("/api/v1/persistentvolumes", {"metadata": {}, "items": volumes})
        with pytest.raises(ResidueError) as caught:
            await namespaces.delete(kube, "shop-t1", within=0.3)
        assert "its PersistentVolume pv-Delete-shop-t1 is still there" in str(caught.value)
        assert "Retain" not in str(caught.value)
        assert "bank" not in str(caught.value)
