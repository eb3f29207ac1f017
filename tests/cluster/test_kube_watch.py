"""The watcher while its API server is killed, paused, or has forgotten the past."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from kube_objects import config_map, namespace

from harness.cluster.clusters import Cluster
from harness.cluster.leases import cluster_lease
from harness.errors import ClusterError
from harness.kube.changes import Blindness, Change, WatchSpec
from harness.kube.client import Kube
from harness.kube.eventually import eventually
from harness.kube.store import Store
from harness.kube.watch import Watcher
from harness.nodes.nodes import node_commands
from harness.undo import namespaces

pytestmark = pytest.mark.asyncio


class Heard:
    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.blind: list[Blindness] = []
        self.store = Store()

    def __call__(self, change: Change) -> None:
        self.changes.append(change)
        self.store.feed(change)

    def versions(self, kind: str, ns: str) -> dict[str, str]:
        return {
            obj["metadata"]["name"]: obj["metadata"]["resourceVersion"]
            for obj in self.store.all(kind, ns)
        }


@asynccontextmanager
async def watched(cluster: Cluster) -> AsyncIterator[tuple[Kube, str, Watcher, Heard]]:
    """Alone on the cluster, with a namespace whose ConfigMaps are watched, and every pod."""
    ns = f"kube-test-{uuid.uuid4().hex[:6]}"
    heard = Heard()
    async with (
        cluster_lease(cluster.folder, exclusive=True, purpose="testing the watcher"),
        Kube.connect(cluster.kubeconfig, cluster.context, patience=90) as kube,
    ):
        await kube.create(namespace(ns))
        specs = [
            WatchSpec(api_version="v1", kind="ConfigMap", namespace=ns),
            WatchSpec(api_version="v1", kind="Pod"),
        ]
        try:
            async with Watcher(kube, specs, heard, heard.blind.append) as watcher:
                await watcher.synced(within=60)
                yield kube, ns, watcher, heard
        finally:
            await namespaces.delete(kube, ns)


async def caught_up(kube: Kube, ns: str, heard: Heard) -> None:
    """The store is what a fresh list says."""

    async def check() -> bool:
        listed = await kube.list("v1", "ConfigMap", ns)
        now = {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in listed}
        assert heard.versions("ConfigMap", ns) == now
        return True

    await eventually(check, within=30, what="the store to be what the API server lists")


async def test_a_killed_api_server(cluster: Cluster) -> None:
    nodes = node_commands(cluster)
    async with watched(cluster) as (kube, ns, watcher, heard):
        await kube.create(config_map("before"), ns)
        await caught_up(kube, ns, heard)
        node = cluster.control_planes[0].name
        (await nodes.run(node, ["pkill", "-KILL", "-x", "kube-apiserver"])).require()
        await eventually(lambda: len(heard.blind) >= 2, within=20, what="both specs to be blind")
        assert {blind.ended_ns for blind in heard.blind[:2]} == {None}
        # Retried by the client until the API server is back.
        await kube.apply(config_map("during"), ns)
        await eventually(lambda: not watcher.blind, within=90, what="both specs to see again")
        await kube.apply(config_map("after"), ns)
        await kube.delete("v1", "ConfigMap", "before", ns)
        await caught_up(kube, ns, heard)
        ended = [blind for blind in heard.blind if blind.ended_ns is not None]
        assert {str(blind.spec.kind) for blind in ended} == {"ConfigMap", "Pod"}
        seen = [(change.verb, change.name) for change in heard.changes if change.namespace == ns]
        for wanted in (("ADDED", "during"), ("ADDED", "after"), ("DELETED", "before")):
            assert seen.count(wanted) == 1, seen


async def test_a_paused_control_plane_is_silence_and_is_noticed(cluster: Cluster) -> None:
    if cluster.engine is None:
        raise ClusterError("the cluster has no engine", remedy="run with a cluster of ours")
    async with watched(cluster) as (kube, ns, watcher, heard):
        node = cluster.control_planes[0].name
        await cluster.engine.adocker("pause", node)
        try:
            await eventually(lambda: len(heard.blind) >= 2, within=20, what="blindness")
        finally:
            await cluster.engine.adocker("unpause", node)
        await eventually(lambda: not watcher.blind, within=60, what="sight")
        await kube.apply(config_map("after"), ns)
        await caught_up(kube, ns, heard)


async def test_a_version_that_the_server_forgot_is_made_good_by_a_list(cluster: Cluster) -> None:
    async with watched(cluster) as (kube, ns, watcher, heard):
        await kube.apply(config_map("kept"), ns)
        await caught_up(kube, ns, heard)
        told = len([change for change in heard.changes if change.namespace == ns])
        for loop in watcher._loops:
            # As after a blindness longer than the server's memory.
            loop._version = "1"
            loop.go_blind("the test says so")
        await eventually(lambda: not watcher.blind, within=30, what="sight")
        ended = [blind for blind in heard.blind if blind.ended_ns is not None]
        assert [blind.lost for blind in ended[-2:]] == [True, True]
        # Nothing differed, so the new list told nothing.
        assert len([change for change in heard.changes if change.namespace == ns]) == told
        await kube.delete("v1", "ConfigMap", "kept", ns)
        await caught_up(kube, ns, heard)
