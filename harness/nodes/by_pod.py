"""Commands in the nodes of a cluster that is not ours: one privileged pod per node, made on demand.

The pods live in a namespace of their own, end by themselves after four hours (so a killed harness
leaves nothing that runs), and are removed with it on leaving.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from harness.cluster.clusters import Cluster
from harness.errors import WaitTimeout
from harness.host.processes import Completed
from harness.kube.client import ApiError, Kube, Obj
from harness.nodes.nodes import bounded

NAMESPACE = "harness-nodes"
_LIFETIME_SECONDS = 4 * 3600
_START_SECONDS = 60.0
_POLL_SECONDS = 0.2
_MARGIN_SECONDS = 10.0
# Everything but the cgroup and user namespaces: what a shell on the node would be in.
_ENTER = ("nsenter", "--target=1", "--mount", "--uts", "--ipc", "--net", "--pid", "--")


@asynccontextmanager
async def pod_nodes(
    cluster: Cluster, *, image: str, namespace: str = NAMESPACE
) -> AsyncIterator[PodNodes]:
    """The back end while the body runs; its namespace is deleted on leaving."""
    async with Kube.connect(cluster.kubeconfig, cluster.context) as kube:
        pods = PodNodes(kube, image=image, namespace=namespace)
        try:
            yield pods
        finally:
            if pods.used:
                await kube.delete("v1", "Namespace", namespace)


class PodNodes:
    """Back end for clusters that are not ours; see `harness.nodes.nodes.NodeCommands`."""

    def __init__(self, kube: Kube, *, image: str, namespace: str) -> None:
        self._kube = kube
        self._image = image
        self._namespace = namespace
        self._pods: dict[str, str] = {}
        self._starting = asyncio.Lock()

    @property
    def used(self) -> bool:
        return bool(self._pods)

    async def run(
        self, node: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60
    ) -> Completed:
        done = await self._kube.exec(
            self._namespace,
            await self._pod(node),
            None,
            [*_ENTER, *bounded(argv, timeout)],
            stdin=stdin,
            timeout=timeout + _MARGIN_SECONDS,
        )
        return Completed(
            argv=tuple(argv),
            code=done.exit_code,
            stdout=done.stdout.encode(),
            stderr=done.stderr.encode(),
        )

    async def _pod(self, node: str) -> str:
        async with self._starting:
            if node not in self._pods:
                await self._kube.apply(_namespace(self._namespace))
                pod = await self._create(node)
                self._pods[node] = pod["metadata"]["name"]
                await self._until_running(pod["metadata"]["name"])
            return self._pods[node]

    async def _create(self, node: str) -> Obj:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while True:
            try:
                return await self._kube.create(_pod(node, self._image), self._namespace)
            except ApiError as error:
                # A new namespace gets its default ServiceAccount a moment later, and one of an
                # earlier use may still be going.
                young = "serviceaccount" in error.detail or "being terminated" in error.detail
                if not young or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(_POLL_SECONDS)
            await self._kube.apply(_namespace(self._namespace))

    async def _until_running(self, name: str) -> None:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while True:
            status = (await self._kube.get("v1", "Pod", name, self._namespace))["status"]
            if status.get("phase") == "Running":
                return
            if asyncio.get_running_loop().time() > deadline:
                states = [item.get("state") for item in status.get("containerStatuses", [])]
                raise WaitTimeout(
                    f"pod {self._namespace}/{name} is {status.get('phase')} after "
                    f"{_START_SECONDS:.0f} s: {states or status.get('conditions')}",
                    remedy=f"see whether the node can pull {self._image} and run privileged pods",
                )
            await asyncio.sleep(_POLL_SECONDS)


def _namespace(name: str) -> Obj:
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _pod(node: str, image: str) -> Obj:
    container: dict[str, Any] = {
        "name": "node",
        "image": image,
        "command": ["sleep", str(_LIFETIME_SECONDS)],
        "securityContext": {"privileged": True},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "node-",
            "labels": {"app.kubernetes.io/managed-by": "resilience-harness"},
        },
        "spec": {
            "nodeName": node,
            "hostPID": True,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _LIFETIME_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
        },
    }
