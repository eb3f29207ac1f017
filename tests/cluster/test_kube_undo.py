"""Nothing left behind: SIGKILL in mid-change, healing, baseline, audit, blocked deletion."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from kube_objects import Obj, config_map, deployment, namespace

from harness.cluster.clusters import Cluster
from harness.cluster.leases import cluster_lease
from harness.errors import ResidueError
from harness.kube.client import Kube
from harness.kube.eventually import eventually
from harness.labels import TRIAL
from harness.nodes.audit import AuditLog, AuditRecord
from harness.nodes.nodes import node_commands
from harness.undo import namespaces
from harness.undo.baseline import ResidueScope, Snapshot, compare, snapshot
from harness.undo.healing import heal_dead
from harness.undo.ledger import Ledger, files, pending
from harness.undo.reach import open_world

pytestmark = pytest.mark.asyncio

# A process that makes a trial's namespace and something in it, says so, and waits to be killed.
CHANGER = """
import asyncio, sys
from harness.cluster import clusters
from harness.undo import namespaces
from harness.kube.client import Kube
from harness.host.engine import find_engine
from harness.undo.ledger import Ledger
from kube_objects import deployment

async def main(cluster_name, trial, ledger):
    cluster = clusters.load_record(cluster_name).cluster(find_engine())
    async with Kube.connect(cluster.kubeconfig, cluster.context) as kube:
        with Ledger.open(ledger) as ledger:
            for name in (f"shop-{trial}", f"bank-{trial}"):
                await namespaces.create(kube, ledger, cluster=cluster, name=name, trial=trial)
                await kube.apply(deployment("web"), name)
            print("changed", flush=True)
            await asyncio.Event().wait()

from pathlib import Path
asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
"""

# What faults leave in a node that nobody healed, and how it is taken away again. The unit's process
# is stopped, as that of a deadlocked application.
PLANT = """
mkdir -p /run/resilience-harness; touch "/run/resilience-harness/left-$1"
systemd-run --quiet --collect --unit="harness-left-$1" sleep 600
until pid=$(systemctl show --property=MainPID --value "harness-left-$1") && [ "$pid" -gt 0 ]; do
  sleep 0.1
done
kill -STOP "$pid"
nft add table ip "left-$1"
iptables -A INPUT -s 192.0.2.1 -m comment --comment "$1" -j DROP
"""
CLEAR = """
rm -f "/run/resilience-harness/left-$1"
systemctl kill --signal=KILL "harness-left-$1"
nft delete table ip "left-$1"
iptables -D INPUT -s 192.0.2.1 -m comment --comment "$1" -j DROP
"""


@pytest.fixture
def trial() -> str:
    return uuid.uuid4().hex[:6]


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[Kube]:
    async with Kube.connect(cluster.kubeconfig, cluster.context) as kube:
        yield kube


async def look(cluster: Cluster, kube: Kube) -> Snapshot:
    return await snapshot(kube, node_commands(cluster))


async def test_a_process_killed_in_mid_change_is_healed_and_proven_clean(
    cluster: Cluster, trial: str, tmp_path: Path
) -> None:
    async with (
        cluster_lease(cluster.folder, exclusive=True, purpose="testing the ledger") as lease,
        connected(cluster) as kube,
    ):
        before = await look(cluster, kube)
        root = Path(__file__).parents[2]
        search = [str(root), str(Path(__file__).parent)]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CHANGER, cluster.name, trial, str(tmp_path)),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"changed\n"
            scope = ResidueScope(trial=trial, exclusive=True)
            left = [str(residue) for residue in compare(before, await look(cluster, kube), scope)]
            assert f"left over: Namespace/shop-{trial}" in left
            assert f"left over: Deployment/web in bank-{trial}" in left
            assert (await heal_dead(open_world, tmp_path, under=lease)).nothing_found
        finally:
            child.send_signal(signal.SIGKILL)
            await child.wait()
        assert len(pending(tmp_path)) == 2
        report = await heal_dead(open_world, tmp_path, under=lease)
        assert [record.data["name"] for record in report.healed] == [
            f"bank-{trial}",
            f"shop-{trial}",
        ], report.lines()
        assert files(tmp_path) == []
        assert compare(before, await look(cluster, kube), scope) == []


async def test_an_undo_of_a_rebuilt_cluster_is_closed_and_touches_nothing(
    cluster: Cluster, trial: str, tmp_path: Path
) -> None:
    async with connected(cluster) as kube:
        await kube.create(namespace(f"shop-{trial}", **{TRIAL: trial}))
        try:
            with Ledger.open(tmp_path) as ledger:
                old = {**vars(cluster), "uid": "00000000-of-the-cluster-before"}
                ledger.record(
                    "namespace",
                    {"name": f"shop-{trial}"},
                    cluster=Cluster(**old),
                    trial=trial,
                )
            report = await heal_dead(open_world, tmp_path)
            assert [why for _, why in report.closed] == [
                f"cluster {cluster.name!r} was rebuilt since (kube-system had UID "
                "00000000-of-the-cluster-before)"
            ]
            assert await kube.find("v1", "Namespace", f"shop-{trial}") is not None
        finally:
            await namespaces.delete(kube, f"shop-{trial}")


async def test_every_planted_residue_is_told(cluster: Cluster, trial: str) -> None:
    node = cluster.nodes[-1].name
    nodes = node_commands(cluster)
    role: Obj = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"left-{trial}"},
    }
    async with (
        cluster_lease(cluster.folder, exclusive=True, purpose="testing the baseline"),
        connected(cluster) as kube,
    ):
        before = await look(cluster, kube)
        scope = ResidueScope(trial=trial, exclusive=True)
        assert compare(before, await look(cluster, kube), scope) == []
        corefile = await kube.get("v1", "ConfigMap", "coredns", "kube-system")
        dns = await kube.get("apps/v1", "Deployment", "coredns", "kube-system")
        replicas = dns["spec"]["replicas"]
        try:
            await kube.create(role)
            await kube.patch("v1", "Node", node, None, {"spec": {"unschedulable": True}})
            await kube.patch("v1", "Node", node, None, {"metadata": {"labels": {"left": trial}}})
            await kube.patch(
                *("v1", "ConfigMap", "coredns", "kube-system"),
                {"data": {"Corefile": corefile["data"]["Corefile"] + "\n"}},
            )
            await kube.patch(
                *("apps/v1", "Deployment", "coredns", "kube-system"),
                {"spec": {"replicas": replicas + 1}},
            )
            (await nodes.run(node, ["bash", "-c", PLANT, "bash", trial])).require()
            left = compare(before, await look(cluster, kube), scope)
            told = [str(residue) for residue in left]
        finally:
            (await nodes.run(node, ["bash", "-c", CLEAR, "bash", trial])).require()
            await kube.delete("rbac.authorization.k8s.io/v1", "ClusterRole", f"left-{trial}")
            await kube.patch("v1", "Node", node, None, {"spec": {"unschedulable": None}})
            await kube.patch("v1", "Node", node, None, {"metadata": {"labels": {"left": None}}})
            await kube.patch(
                *("v1", "ConfigMap", "coredns", "kube-system"), {"data": corefile["data"]}
            )
            await kube.patch(
                *("apps/v1", "Deployment", "coredns", "kube-system"),
                {"spec": {"replicas": replicas}},
            )
        text = "\n".join(told)
        for wanted in (
            f"left over: ClusterRole/left-{trial}",
            f"left over: Node/{node} (unit harness-left-{trial}.service)",
            f"left over: Node/{node} (file /run/resilience-harness/left-{trial})",
            f"left over: Node/{node} (stopped process sleep of ",
            f"left over: Node/{node} (packet filter table ip left-{trial})",
            f"left over: Node/{node} (packet rule -A INPUT ",
            f"changed: Node/{node} (unschedulable: False -> True)",
            f"changed: Node/{node} (labels: left: None -> '{trial}')",
            "changed: ConfigMap/coredns in kube-system (written by",
            "changed: Deployment/coredns in kube-system (generation",
        ):
            assert wanted in text, text


async def test_the_audit_log_tells_who_changed_what(cluster: Cluster, trial: str) -> None:
    ns = f"audit-{trial}"
    nodes = node_commands(cluster)
    async with connected(cluster) as kube:
        log = AuditLog(nodes, [node.name for node in cluster.control_planes])
        await log.start()
        await kube.create(namespace(ns))
        scaled = {"spec": {"replicas": 1}}
        try:
            await kube.apply(deployment("web", replicas=2), ns)
            await kube.patch("apps/v1", "Deployment", "web", ns, scaled)
        finally:
            await namespaces.delete(kube, ns)
        seen: list[AuditRecord] = []

        async def written() -> bool:
            seen.extend(await log.read([ns]))
            return any(
                (record.resource, record.verb) == ("namespaces", "delete") for record in seen
            )

        await eventually(written, within=30, what="the records to be written")
    (change,) = [record for record in seen if record.body == scaled]
    assert (change.verb, change.resource, change.name) == ("patch", "deployments", "web")
    assert (change.user, change.code) == ("kubernetes-admin", 200)
    assert ("create", "namespaces", ns) in {(r.verb, r.resource, r.name) for r in seen}
    assert all(record.namespace in (ns, "") for record in seen)


async def test_a_namespace_held_by_a_finalizer_says_which(cluster: Cluster, trial: str) -> None:
    ns = f"held-{trial}"
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/nobody-removes-this"]
    async with connected(cluster) as kube:
        await kube.create(namespace(ns))
        await kube.apply(held, ns)
        try:
            with pytest.raises(ResidueError) as caught:
                await namespaces.delete(kube, ns, within=8)
            assert "ConfigMap/held: finalizers example.com/nobody-removes-this" in str(caught.value)
            assert "NamespaceFinalizersRemaining" in str(caught.value)
        finally:
            freed = {"metadata": {"finalizers": None}}
            await kube.patch("v1", "ConfigMap", "held", ns, freed)
            await namespaces.delete(kube, ns)
