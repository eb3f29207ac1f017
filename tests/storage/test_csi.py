"""The CSI driver: upstream's sanity suite, and volumes that move, get stuck and come free again."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import pytest
import pytest_asyncio
from kube_objects import Obj, in_pod, namespace, pod

from harness import paths
from harness.addons import addons, csi
from harness.cluster import volumes
from harness.cluster.clusters import Cluster
from harness.cluster.lifecycle import bring_up
from harness.errors import ClusterError, WaitTimeout
from harness.host import go_programs
from harness.kube.client import Kube
from harness.kube.eventually import eventually
from harness.nodes.nodes import node_commands
from harness.undo import namespaces
from harness.undo.baseline import ResidueScope, compare, snapshot

NAME = "harness-workers"
OLD, NEW = f"{NAME}-worker", f"{NAME}-worker2"
SOON = 60.0
# The StorageClass of volumes that may be attached to many nodes.
SHARED = "harness-shared"


def test_the_driver_passes_csi_sanity() -> None:
    done = subprocess.run(
        [go_programs.go(), "test", "-count=1", "-v", "./..."],
        cwd=paths.data("kind-configs") / "addons" / "csi",
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "42 Passed" in done.stdout
    assert "0 Failed" in done.stdout


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    """One control plane and three workers, left warm for the other tests of this tier."""
    return asyncio.run(bring_up(NAME, "workers"))


@pytest_asyncio.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    async with Kube.connect(cluster.kubeconfig, cluster.context) as connected:
        await addons.install("csi", cluster, kube=connected)
        yield connected


@pytest_asyncio.fixture
async def ns(kube: Kube) -> AsyncIterator[str]:
    """A namespace with one claim, `files`; afterwards nothing of its volumes is left."""
    name = f"csi-{os.urandom(3).hex()}"
    await kube.apply(namespace(name))
    await kube.apply(claim("files"), name)
    try:
        yield name
    finally:
        await kube.delete_all("v1", "ConfigMap", csi.NAMESPACE, labels=csi.FAULT_LABEL)
        await namespaces.delete(kube, name)
        await eventually(lambda: gone(kube, name), within=SOON, what="the volumes gone")


def claim(
    name: str, mode: str = "ReadWriteOnce", storage_class: str = csi.ATTACHABLE
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": [mode],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": "64Mi"}},
        },
    }


def user_of(
    files: str, node: str, *, name: str = "", script: str = "sleep 3600", **spec: Any
) -> Obj:
    """A pod on that node that runs `script` with the claim at /files; PID 1 ends on SIGTERM."""
    obj = pod(name or f"on-{node}", "sh", "-c", f"trap exit TERM; {script} & wait")
    obj["spec"] |= {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "volumes": [{"name": "files", "persistentVolumeClaim": {"claimName": files}}],
        **spec,
    }
    obj["spec"]["containers"][0]["volumeMounts"] = [{"name": "files", "mountPath": "/files"}]
    return obj


async def volume_of(kube: Kube, ns: str, files: str = "files") -> str:
    found = await kube.get("v1", "PersistentVolumeClaim", files, ns)
    return str(found["spec"]["volumeName"])


async def attachments(kube: Kube, volume: str) -> dict[str, bool]:
    """Node to whether the attacher has confirmed it, for each VolumeAttachment of the volume."""
    return {
        each["spec"]["nodeName"]: bool((each.get("status") or {}).get("attached"))
        for each in await kube.list("storage.k8s.io/v1", "VolumeAttachment")
        if each["spec"]["source"].get("persistentVolumeName") == volume
    }


async def gone(kube: Kube, ns: str) -> bool:
    return not any(f"claim {ns}/" in line for line in await csi.in_use(kube))


async def events(kube: Kube, ns: str, name: str, reason: str) -> list[str]:
    fields = f"involvedObject.name={name},reason={reason}"
    return [each["message"] for each in await kube.list("v1", "Event", ns, fields=fields)]


async def start(kube: Kube, ns: str, obj: Obj) -> str:
    """Applies a pod and waits until it runs; its name."""
    name = str((await kube.apply(obj, ns))["metadata"]["name"])
    await running(kube, ns, name)
    return name


async def running(kube: Kube, ns: str, name: str, within: float = SOON) -> float:
    """Seconds until the pod is ready."""
    began = asyncio.get_running_loop().time()

    async def ready() -> bool:
        status = (await kube.get("v1", "Pod", name, ns)).get("status") or {}
        conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
        return conditions.get("Ready") == "True"

    await eventually(ready, within=within, what=f"pod {ns}/{name} ready")
    return asyncio.get_running_loop().time() - began


async def refused(kube: Kube, ns: str, name: str, reason: str, text: str) -> None:
    async def said() -> bool:
        return any(text in message for message in await events(kube, ns, name, reason))

    await eventually(said, within=SOON, what=f"event {reason} of {name} with {text!r}")


@asynccontextmanager
async def faulted(kube: Kube, ns: str, **asked: Any) -> AsyncIterator[str]:
    """The fault in force on the namespace's claims; removed on leaving."""
    name = f"{asked['operation']}-{os.urandom(3).hex()}"
    asked.setdefault("expires", datetime.now(UTC) + timedelta(minutes=10))
    await kube.create(csi.fault(name, claim_namespace=ns, **asked))
    try:
        await eventually(lambda: csi.known(kube, name), within=10, what=f"{name} in force")
        yield name
    finally:
        await kube.delete("v1", "ConfigMap", name, csi.NAMESPACE)


async def calls(kube: Kube, ns: str, operation: str) -> list[csi.Call]:
    found = await csi.calls(kube, claim_namespace=ns)
    return [call for call in found if call.operation == operation]


@pytest.mark.asyncio
async def test_data_follows_the_pod_to_another_node(cluster: Cluster, kube: Kube, ns: str) -> None:
    first = await start(kube, ns, user_of("files", OLD, script="echo kept > /files/x; sleep 3600"))
    volume = await volume_of(kube, ns)
    assert await attachments(kube, volume) == {OLD: True}
    await kube.delete("v1", "Pod", first, ns)
    second = await start(kube, ns, user_of("files", NEW))
    assert (await in_pod(cluster, ns, second, "cat", "/files/x")).text == "kept"
    assert await attachments(kube, volume) == {NEW: True}
    found = await csi.calls(kube, claim_namespace=ns)
    assert {call.code for call in found} == {"OK"}
    assert {call.claim for call in found} == {"files"}
    moves = [
        (call.operation, call.node) for call in found if call.operation in ("attach", "detach")
    ]
    # The attacher may ask for the same thing twice; what counts is the order.
    assert [move for move, _ in groupby(moves)] == [
        ("attach", OLD),
        ("detach", OLD),
        ("attach", NEW),
    ]


@pytest.mark.asyncio
async def test_a_slow_detach_keeps_the_next_pod_out_until_it_is_healed(kube: Kube, ns: str) -> None:
    first = await start(kube, ns, user_of("files", OLD))
    volume = await volume_of(kube, ns)
    async with faulted(kube, ns, operation="detach", delay=timedelta(minutes=5)) as fault:
        await kube.delete("v1", "Pod", first, ns)
        second = (await kube.apply(user_of("files", NEW), ns))["metadata"]["name"]
        await refused(kube, ns, second, "FailedAttachVolume", "Multi-Attach error for volume")

        async def held_for_a_while() -> list[csi.Call]:
            long_ago = datetime.now(UTC) - timedelta(seconds=3)
            return [call for call in await calls(kube, ns, "detach") if call.began < long_ago]

        [held] = await eventually(held_for_a_while, within=SOON, what="a detach that is held")
        assert (held.finished, held.node, held.volume) == (None, OLD, volume)
        assert await attachments(kube, volume) == {OLD: True}
    assert await running(kube, ns, second) < 20
    [done] = await calls(kube, ns, "detach")
    assert (done.seq, done.code, done.faults) == (held.seq, "OK", (fault,))
    assert done.finished is not None
    assert done.held > timedelta(seconds=3)
    assert await attachments(kube, volume) == {NEW: True}


@pytest.mark.asyncio
async def test_a_fault_ends_by_itself(kube: Kube, ns: str) -> None:
    first = await start(kube, ns, user_of("files", OLD))
    expires = datetime.now(UTC) + timedelta(seconds=20)
    async with faulted(
        kube, ns, operation="detach", delay=timedelta(hours=1), expires=expires
    ) as fault:
        await kube.delete("v1", "Pod", first, ns)
        await start(kube, ns, user_of("files", NEW))
        [done] = await calls(kube, ns, "detach")
        assert done.faults == (fault,)
        assert done.finished is not None
        # The driver waits by a monotonic clock, which a slewed wall clock leaves by a little.
        assert timedelta(milliseconds=-100) < done.finished - expires < timedelta(minutes=30)
        assert not await csi.known(kube, fault)


@pytest.mark.asyncio
async def test_a_restarted_controller_forgets_neither_volumes_nor_faults(
    cluster: Cluster, kube: Kube, ns: str
) -> None:
    first = await start(kube, ns, user_of("files", OLD, script="echo kept > /files/x; sleep 3600"))
    volume = await volume_of(kube, ns)
    async with faulted(kube, ns, operation="detach", delay=timedelta(minutes=5)):
        await kube.delete("v1", "Pod", first, ns)
        await eventually(lambda: calls(kube, ns, "detach"), within=SOON, what="a detach called")
        before = (await calls(kube, ns, "detach"))[0]
        await kube.delete_all("v1", "Pod", csi.NAMESPACE, labels="app=csi-controller")

        async def held_again() -> bool:
            return any(call.instance != before.instance for call in await calls(kube, ns, "detach"))

        await eventually(held_again, within=SOON, what="the new controller to be asked again")
        assert await attachments(kube, volume) == {OLD: True}
        # No Multi-Attach event to wait for: while a detach is under way, the attach-detach
        # controller passes the volume over without a word.
        second = (await kube.apply(user_of("files", NEW), ns))["metadata"]["name"]
        with pytest.raises(WaitTimeout):
            await running(kube, ns, second, within=10)
        assert [call.node for call in await calls(kube, ns, "attach")] == []
        assert await attachments(kube, volume) == {OLD: True}
    assert await running(kube, ns, second) < 20
    assert (await in_pod(cluster, ns, second, "cat", "/files/x")).text == "kept"


@pytest.mark.asyncio
async def test_a_restarted_node_plugin_leaves_mounts_alone(
    cluster: Cluster, kube: Kube, ns: str
) -> None:
    user = await start(kube, ns, user_of("files", OLD))
    [plugin] = await kube.list(
        "v1", "Pod", csi.NAMESPACE, labels="app=csi-node", fields=f"spec.nodeName={OLD}"
    )
    await kube.delete("v1", "Pod", plugin["metadata"]["name"], csi.NAMESPACE)

    async def replaced() -> bool:
        pods = await kube.list(
            "v1", "Pod", csi.NAMESPACE, labels="app=csi-node", fields=f"spec.nodeName={OLD}"
        )
        ready = [
            each["metadata"]["uid"]
            for each in pods
            for status in each["status"].get("containerStatuses") or []
            if status["ready"]
        ]
        return bool(ready) and plugin["metadata"]["uid"] not in ready

    await eventually(replaced, within=SOON, what="another node plugin")
    (await in_pod(cluster, ns, user, "sh", "-c", "echo more > /files/y")).require()
    # Unmounted and detached by the new plugin, mounted elsewhere.
    await kube.delete("v1", "Pod", user, ns)
    second = await start(kube, ns, user_of("files", NEW))
    assert (await in_pod(cluster, ns, second, "cat", "/files/y")).text == "more"


@pytest.mark.asyncio
async def test_refusals_reach_the_pod_and_only_the_named_namespace(kube: Kube, ns: str) -> None:
    other = f"{ns}-other"
    await kube.apply(namespace(other))
    await kube.apply(claim("files"), other)
    try:
        async with faulted(kube, ns, operation="attach", refuse="rate limit of the vendor"):
            stuck = (await kube.apply(user_of("files", OLD), ns))["metadata"]["name"]
            await start(kube, other, user_of("files", OLD))
            await refused(kube, ns, stuck, "FailedAttachVolume", "rate limit of the vendor")
        # The attach-detach controller has backed off by then (it doubles from 0.5 s).
        await running(kube, ns, stuck)
        assert {call.code for call in await calls(kube, ns, "attach")} == {"Unavailable", "OK"}
        assert {call.code for call in await calls(kube, other, "attach")} == {"OK"}
    finally:
        await namespaces.delete(kube, other)
        await eventually(lambda: gone(kube, other), within=SOON, what="the volumes gone")


@pytest.mark.asyncio
async def test_a_slow_mount_holds_the_pod_on_its_node(kube: Kube, ns: str) -> None:
    async with faulted(kube, ns, operation="mount", delay=timedelta(seconds=8)):
        await start(kube, ns, user_of("files", OLD))
    [mount] = await calls(kube, ns, "mount")
    assert timedelta(seconds=8) <= mount.held < timedelta(seconds=9)


@pytest.mark.asyncio
async def test_a_disk_is_no_file_share(kube: Kube, ns: str) -> None:
    await kube.apply(claim("many", "ReadWriteMany"), ns)
    await kube.apply(user_of("many", OLD, name="refused"), ns)
    await refused(kube, ns, "many", "ProvisioningFailed", "attaches to one node at a time")
    await kube.apply(claim("share", "ReadWriteMany", SHARED), ns)
    await asyncio.gather(*(start(kube, ns, user_of("share", node)) for node in (OLD, NEW)))
    assert await attachments(kube, await volume_of(kube, ns, "share")) == {OLD: True, NEW: True}


@pytest.mark.asyncio
async def test_a_fault_that_makes_no_sense_says_so(kube: Kube, ns: str) -> None:
    wrong = csi.fault(
        "wrong", claim_namespace=ns, operation="detach", expires=datetime.now(UTC), delay=None
    )
    await kube.create(wrong)
    with pytest.raises(ClusterError, match="the fault would do nothing"):
        await eventually(lambda: csi.known(kube, "wrong"), within=10, what="never")


@pytest.mark.asyncio
async def test_uninstalling_leaves_nothing_and_is_refused_while_volumes_are_there(
    cluster: Cluster, kube: Kube, ns: str
) -> None:
    await start(kube, ns, user_of("files", OLD))
    with pytest.raises(ClusterError, match=f"claim {ns}/files"):
        await addons.uninstall("csi", cluster, kube=kube)
    await namespaces.delete(kube, ns)
    assert list((volumes.folder(cluster.folder) / "volumes").iterdir()) == []
    assert await addons.uninstall("csi", cluster, kube=kube)
    nodes = node_commands(cluster)
    before = await snapshot(kube, nodes)
    ours = ("harness-csi", csi.DRIVER, csi.ATTACHABLE, SHARED)
    assert not [key for key in before.objects if any(name in part for part in key for name in ours)]
    await addons.install("csi", cluster, kube=kube)
    assert await addons.uninstall("csi", cluster, kube=kube)
    left = compare(
        before,
        await snapshot(kube, node_commands(cluster)),
        ResidueScope(trial="none", exclusive=True),
    )
    # Each kubelet writes its CSINode anew when a driver comes or goes.
    assert [residue for residue in left if not residue.subject.startswith("CSINode/")] == []
