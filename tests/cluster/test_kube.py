"""What the client promises, on a real API server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from kube_objects import Obj, config_map, deployment, namespace, pod

from harness.cluster.clusters import Cluster
from harness.errors import ClusterError, ManifestError
from harness.kube.changes import WatchSpec
from harness.kube.client import ApiError, Kube
from harness.kube.crash_logs import CrashLog, crash_logs
from harness.kube.eventually import eventually
from harness.kube.pod_exec import NotStartedError
from harness.kube.watch import Watcher
from harness.undo import namespaces

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def own_namespace(cluster: Cluster, **labels: str) -> AsyncIterator[tuple[Kube, str]]:
    """A client and a namespace that accepts pods; deleted for real on leaving."""
    name = f"kube-test-{uuid.uuid4().hex[:6]}"
    async with Kube.connect(cluster.kubeconfig, cluster.context) as kube:
        await kube.create(namespace(name, **labels))
        try:
            # Pods are refused until the namespace has its ServiceAccount.
            await eventually(
                lambda: kube.find("v1", "ServiceAccount", "default", name),
                within=30,
                what="the default ServiceAccount",
            )
            yield kube, name
        finally:
            await namespaces.delete(kube, name)


async def running(kube: Kube, ns: str, name: str) -> None:
    async def check() -> bool:
        status = (await kube.get("v1", "Pod", name, ns))["status"]
        assert status["phase"] == "Running", status
        return all(each["ready"] for each in status["containerStatuses"])

    await eventually(check, within=60, what=f"pod {name} to run")


async def test_apply_all_brings_definitions_before_what_they_define(cluster: Cluster) -> None:
    group = f"g{uuid.uuid4().hex[:6]}.example.com"
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    crd: Obj = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }
    widget = {
        "apiVersion": f"{group}/v1",
        "kind": "Widget",
        "metadata": {"name": "w"},
        "spec": {"size": 1},
    }
    async with own_namespace(cluster) as (kube, ns):
        try:
            await kube.apply_all([widget, config_map("c"), crd], ns)
            assert (await kube.get(f"{group}/v1", "Widget", "w", ns))["spec"] == {"size": 1}
            (applied,) = await kube.list("v1", "ConfigMap", ns, fields="metadata.name=c")
            managers = {entry["manager"] for entry in applied["metadata"]["managedFields"]}
            assert managers == {"resilience-harness"}
        finally:
            await kube.delete("apiextensions.k8s.io/v1", crd["kind"], f"widgets.{group}")


async def test_where_a_request_dies(cluster: Cluster) -> None:
    async with own_namespace(cluster, **{"pod-security.kubernetes.io/enforce": "restricted"}) as (
        kube,
        ns,
    ):
        typo = deployment("typo")
        typo["spec"]["replica"] = 2
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "q"},
            "spec": {"hard": {"configmaps": "1"}},
        }
        negative = deployment("negative", replicas=-1)
        refused = [
            (typo, ns, "validation", 'unknown field "spec.replica"|.spec.replica: field not'),
            (negative, ns, "validation", "spec.replicas: Invalid value: -1"),
            (pod("root"), ns, "admission", "violates PodSecurity"),
            (config_map("c"), "no-such-namespace", "store", "no-such-namespace"),
        ]
        for obj, where, stage, text in refused:
            with pytest.raises(ApiError, match=text) as caught:
                await kube.apply(obj, where)
            assert caught.value.stage == stage, caught.value
        await kube.apply(quota, ns)

        async def over_quota() -> ApiError | None:
            try:
                await kube.create(config_map(f"c{uuid.uuid4().hex[:4]}"), ns)
            except ApiError as error:
                return error
            return None

        # The quota counts a moment after it was made.
        refusal = await eventually(over_quota, within=30, what="the quota to be enforced")
        assert refusal is not None
        assert "exceeded quota" in refusal.detail
        assert (refusal.status, refusal.stage) == (403, "admission")
        with pytest.raises(ManifestError, match="Deploiment"):
            await kube.apply({**deployment("x"), "kind": "Deploiment"}, ns)


async def test_the_logs_of_every_crashed_run_are_kept(cluster: Cluster) -> None:
    got: list[CrashLog] = []
    async with own_namespace(cluster) as (kube, ns):
        spec = WatchSpec(api_version="v1", kind="Pod", namespace=ns)
        async with crash_logs(kube, got.append) as logs, Watcher(kube, [spec], logs.feed) as w:
            await w.synced(within=60)
            words = "cat /proc/sys/kernel/random/uuid; exit 7"
            await kube.create(pod("crash", "sh", "-c", words), ns)
            await eventually(lambda: len(got) >= 2, within=90, what="the logs of two runs")
    assert [log.crash.exit_code for log in got] == [7] * len(got)
    assert all(len(log.text.strip()) == 36 for log in got), got
    assert len({log.text for log in got}) == len(got)


async def test_a_command_in_a_container_gives_its_output_and_its_code(cluster: Cluster) -> None:
    async with own_namespace(cluster) as (kube, ns):
        await kube.create(pod("sh", "sleep", "600"), ns)
        await running(kube, ns, "sh")
        words = ["sh", "-c", "echo err >&2; wc -c; exit 3"]
        sent = bytes(range(256)) * 4000
        done = await kube.execute(ns, "sh", "app", words, stdin=sent)
        assert (done.stdout.strip(), done.stderr, done.code) == (b"1024000", b"err\n", 3)
        with pytest.raises(NotStartedError, match="no-such-program"):
            await kube.execute(ns, "sh", "app", ["no-such-program"])
        with pytest.raises(ApiError, match="container nowhere is not valid"):
            await kube.execute(ns, "sh", "nowhere", ["true"])
        with pytest.raises(ApiError) as caught:
            await kube.execute(ns, "absent", "app", ["true"])
        assert caught.value.not_found
        with pytest.raises(ClusterError, match="did not end within"):
            await kube.execute(ns, "sh", "app", ["sleep", "30"], timeout=1)


async def test_proxies_and_raw_paths(cluster: Cluster) -> None:
    async with Kube.connect(cluster.kubeconfig, cluster.context) as kube:
        ready = await kube.raw("/readyz", params={"verbose": ""})
        assert ready.status == 200
        assert "[+]etcd ok" in ready.text
        (dns, *_) = await kube.list("v1", "Pod", "kube-system", labels="k8s-app=kube-dns")
        answer = await kube.pod_proxy("kube-system", dns["metadata"]["name"], 8080, path="/health")
        assert (answer.status, answer.text) == (200, "OK")
        node = cluster.control_planes[0].name
        assert (
            "container_memory_usage_bytes"
            in (await kube.node_proxy(node, "/metrics/cadvisor")).text
        )
        with pytest.raises(ApiError) as caught:
            await kube.pod_proxy("kube-system", dns["metadata"]["name"], 1, path="/")
        assert caught.value.status in (502, 503)
