"""A cluster's life on the real engine: what a new cluster can do, and every way it can end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_objects import in_pod

from harness.cluster import clusters, condition, kind
from harness.cluster.clusters import Cluster
from harness.cluster.leases import cluster_lease, lease_entry_port
from harness.cluster.lifecycle import bring_up, merge_kubeconfig, take_down
from harness.errors import ClusterError, UsageError
from harness.host import processes
from harness.host.engine import Engine, ensure_engine
from harness.images.base_image import ensure_base
from harness.images.publish import publish_local_image
from harness.images.registry import ensure_registry
from harness.kube.client import Kube
from harness.kube.eventually import eventually
from harness.nodes import audit
from harness.nodes.nodes import node_commands

NAME = f"t{os.getpid()}"
# A server of one fixed answer with what a plain Debian image has.
SERVE = (
    "use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 50, LocalPort => 8080, "
    "ReuseAddr => 1) or die; while (my $c = $s->accept) { "
    # The whole request: closing with a part of it unread resets the connection.
    "my $r = ''; while ($r !~ /\\r\\n\\r\\n/) { sysread($c, my $b, 4096) or last; $r .= $b } "
    'print $c "HTTP/1.0 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nhi\\n"; close $c }'
)
FETCH = 'exec 3<>"/dev/tcp/$0/8080"; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; tail -n 1 <&3'


@pytest.fixture(scope="module")
def engine() -> Engine:
    return ensure_engine()


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    """A plain Debian image, where the nodes can pull it."""
    return str(publish_local_image(engine, ensure_registry(engine), ensure_base(engine)))


@pytest.fixture(scope="module")
def workers(engine: Engine) -> Iterator[Cluster]:
    """One control plane and three workers, for this module alone."""
    yield asyncio.run(bring_up(NAME, "workers"))
    asyncio.run(take_down(NAME, force=True))


def harness(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def state_of(name: str, engine: Engine) -> tuple[str, str]:
    seen = await condition.observe(name, engine)
    return (seen.state, seen.reason) if seen else ("none", "")


async def container_names(name: str, engine: Engine) -> list[str]:
    return [each.name for each in await kind.containers(engine) if each.cluster == name]


def echo(image: str, node_port: int) -> list[dict[str, Any]]:
    """A server on every node, behind one NodePort."""
    labels = {"app": "echo"}
    pod = {
        "containers": [
            {"name": "echo", "image": image, "command": ["perl", "-e", SERVE]},
        ],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "echo"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "echo"},
            "spec": {
                "type": "NodePort",
                "selector": labels,
                "ports": [{"port": 8080, "nodePort": node_port}],
            },
        },
    ]


@pytest.mark.asyncio
async def test_pods_reach_each_other_dns_and_the_world_reaches_the_entry(
    workers: Cluster, image: str
) -> None:
    async with (
        Kube.connect(workers.kubeconfig) as kube,
        lease_entry_port(workers.folder, workers.entry_ports) as port,
    ):
        await kube.apply_all(echo(image, port.node_port), "default")

        async def pods() -> list[dict[str, Any]]:
            found = await kube.list("v1", "Pod", "default", labels="app=echo")
            return found if len(found) == 4 and all(map(is_ready, found)) else []

        echoes = await eventually(pods, what="four echo pods Ready", within=90)
        first = echoes[0]["metadata"]["name"]
        for other in echoes:
            address = other["status"]["podIP"]
            got = await in_pod(workers, "default", first, "bash", "-c", FETCH, address)
            assert (got.code, got.text) == (0, "hi"), (address, got.error)
        for pod in echoes:
            name = pod["metadata"]["name"]

            async def by_name(name: str = name) -> bool:
                words = ["bash", "-c", FETCH, "echo.default.svc.cluster.local"]
                return (await in_pod(workers, "default", name, *words)).text == "hi"

            # Each node's kube-proxy learns of the Service at a moment of its own.
            node = pod["spec"]["nodeName"]
            await eventually(by_name, what=f"the Service answers by name on {node}", within=20)

        async def from_outside() -> bool:
            return await asyncio.to_thread(fetch, port.url) == b"hi\n"

        await eventually(from_outside, what="the entry answers on 127.0.0.1", within=20)
        await kube.delete("apps/v1", "DaemonSet", "echo", "default")
        await kube.delete("v1", "Service", "echo", "default")


def is_ready(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    return bool(statuses) and all(status["ready"] for status in statuses)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


@pytest.mark.asyncio
async def test_what_somebody_changed_is_in_the_audit_log(workers: Cluster) -> None:
    nodes = node_commands(workers)
    async with Kube.connect(workers.kubeconfig) as kube:
        configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "audited"}}
        await kube.create({**configmap, "data": {"word": "a-secret-word"}}, "default")
        await kube.patch(
            "apps/v1",
            "Deployment",
            "coredns",
            "kube-system",
            {"metadata": {"annotations": {"touched": "by-hand"}}},
        )

        async def records() -> list[dict[str, Any]]:
            log = await nodes.run(workers.entry_node.name, ["cat", audit.PATH])
            found = [json.loads(line) for line in log.require().text.splitlines()]
            ours = [each for each in found if "resilience-harness" in each["requestURI"]]
            return ours if len(ours) >= 2 else []

        made, patched = (await eventually(records, what="two audit records", within=15))[-2:]
        assert (made["verb"], made["objectRef"]["name"]) == ("create", "audited")
        assert "requestObject" not in made
        assert (patched["verb"], patched["user"]["username"]) == ("patch", "kubernetes-admin")
        assert patched["requestObject"]["metadata"]["annotations"] == {"touched": "by-hand"}
        await kube.delete("v1", "ConfigMap", "audited", "default")


@pytest.mark.asyncio
async def test_the_address_of_a_pod_that_is_gone_leads_nowhere(workers: Cluster) -> None:
    nodes = node_commands(workers)
    async with Kube.connect(workers.kubeconfig) as kube:
        for node in await kube.list("v1", "Node"):
            nobody = str(ip_network(node["spec"]["podCIDR"])[-2])
            asked = await nodes.run(node["metadata"]["name"], ["ip", "route", "get", nobody])
            assert "No route to host" in asked.error, asked.text


@pytest.mark.asyncio
async def test_commands_in_a_node(workers: Cluster) -> None:
    node = workers.nodes[-1].name
    nodes = node_commands(workers)
    done = await nodes.run(node, ["hostname"])
    assert (done.code, done.text) == (0, node)
    done = await nodes.run(node, ["sh", "-c", "echo no >&2; exit 7"])
    assert (done.code, done.error) == (7, "no")
    done = await nodes.run(node, ["wc", "-c"], stdin=b"x" * 100_000)
    assert done.text == "100000"
    done = await nodes.run(node, ["sleep", "1000"], timeout=0.5)
    assert done.code == 124
    done = await nodes.run(node, ["pgrep", "-x", "containerd"])
    assert done.code == 0


@pytest.mark.asyncio
async def test_up_again_changes_nothing(workers: Cluster, engine: Engine) -> None:
    names = await container_names(NAME, engine)
    started = ("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", *names)
    before = await engine.adocker(*started)
    process = harness("up", "--cluster", NAME)
    stdout, stderr = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, stderr
    assert f"export KUBECONFIG={workers.kubeconfig}" in stdout
    assert await container_names(NAME, engine) == names
    assert await engine.adocker(*started) == before
    assert await bring_up(NAME) == workers
    with pytest.raises(UsageError, match="up with shape workers, not single"):
        await bring_up(NAME, "single")
    assert await bring_up(NAME, "single", or_larger=True) == workers
    with pytest.raises(UsageError, match="up with shape workers, not ha"):
        await bring_up(NAME, "ha", or_larger=True)


@pytest.mark.asyncio
async def test_the_users_kubeconfig_is_written_only_when_asked_and_cleaned_by_down(
    workers: Cluster, engine: Engine, tmp_path: Path
) -> None:
    name = f"{NAME}-merge"
    theirs = tmp_path / "config"
    theirs.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "mine", "cluster": {"server": "https://example.test"}}],
                "contexts": [{"name": "mine", "context": {"cluster": "mine", "user": "me"}}],
                "current-context": "mine",
                "users": [{"name": "me", "user": {"token": "t"}}],
            }
        )
    )
    before = theirs.read_bytes()
    cluster = await bring_up(name)
    assert theirs.read_bytes() == before
    await merge_kubeconfig(cluster, theirs)
    contexts = [each["name"] for each in yaml.safe_load(theirs.read_text())["contexts"]]
    assert contexts == ["mine", f"kind-{name}"]
    await container_dies(cluster, engine)
    rebuilt = await bring_up(name)
    assert rebuilt.uid != cluster.uid
    assert await take_down(name)
    contexts = [each["name"] for each in yaml.safe_load(theirs.read_text())["contexts"]]
    assert contexts == ["mine"]
    assert not clusters.folder(name).exists()
    assert not await take_down(name)


async def container_dies(cluster: Cluster, engine: Engine) -> None:
    """What a stopped engine leaves: nodes that have exited."""
    await engine.adocker("kill", *(node.name for node in cluster.nodes))
    assert await state_of(cluster.name, engine) == ("stopped", "the container engine was restarted")


@pytest.mark.asyncio
async def test_a_cluster_in_use_is_not_taken_away(workers: Cluster) -> None:
    async with cluster_lease(workers.folder, purpose="a trial"):
        with pytest.raises(ClusterError, match=r"in use by pid .* for a trial"):
            await take_down(NAME)


@pytest.mark.asyncio
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_during_up_leaves_nothing(
    engine: Engine, number: signal.Signals, code: int
) -> None:
    name = f"{NAME}-stop"
    process = harness("up", "--cluster", name)
    await until_containers(name, engine)
    process.send_signal(number)
    _, stderr = await asyncio.to_thread(process.communicate)
    assert process.returncode == code, stderr
    assert await container_names(name, engine) == []
    assert await state_of(name, engine) == ("none", "")


@pytest.mark.asyncio
async def test_up_after_a_killed_up_rebuilds(engine: Engine) -> None:
    name = f"{NAME}-kill"
    process = harness("up", "--cluster", name)
    await until_containers(name, engine)
    process.kill()
    await asyncio.to_thread(process.communicate)
    # kind itself lives on and holds the lock; then the half-made cluster is seen for what it is.
    assert (await state_of(name, engine))[0] in ("creating", "broken")
    again = harness("up", "--cluster", name)
    _, stderr = await asyncio.to_thread(again.communicate)
    assert again.returncode == 0, stderr
    assert "the process that made it ended before it was ready" in stderr
    assert await state_of(name, engine) == ("running", "")
    await take_down(name)


async def until_containers(name: str, engine: Engine) -> None:
    async def there() -> bool:
        return bool(await container_names(name, engine))

    await eventually(there, what=f"containers of {name}", within=60)


@pytest.mark.asyncio
async def test_a_cluster_of_somebody_else_is_foreign_and_left_alone(engine: Engine) -> None:
    name = f"{NAME}-foreign"
    labels = ["--label", f"io.x-k8s.kind.cluster={name}"]
    await processes.run(
        ["docker", "create", "--name", name, *labels, ensure_base(engine), "true"], env=engine.env
    )
    try:
        assert (await state_of(name, engine))[0] == "foreign"
        for change in (bring_up(name), take_down(name)):
            with pytest.raises(UsageError, match=r"did not make|not made by the harness"):
                await change
        assert await container_names(name, engine) == [name]
    finally:
        await engine.adocker("rm", name)
