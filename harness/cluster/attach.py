"""Clusters that the harness did not make, reached through a context of a kubeconfig.

Reading them is always fine. Faults are refused unless the user named the context, because the
current context is whatever somebody used last.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import yaml

from harness import paths
from harness.cluster import clusters
from harness.cluster.clusters import Cluster, Node, Versions, default_kubeconfig
from harness.cluster.shapes import CONTROL_PLANE, WORKER
from harness.errors import UsageError
from harness.host.engine import Engine
from harness.kube.client import Kube, Obj

_ROLE_LABEL = "node-role.kubernetes.io/control-plane"


async def attach(
    context: str | None = None, *, kubeconfig: Path | None = None, engine: Engine | None = None
) -> Cluster:
    """A handle on the cluster behind `context` (None: the current one, without faults).

    `kubeconfig` defaults to `$KUBECONFIG`, then `~/.kube/config`. Gives the full handle when the
    cluster turns out to be one of ours. Raises `UsageError` for an unknown context and what `Kube`
    raises when the cluster does not answer.
    """
    file = kubeconfig or default_kubeconfig()
    chosen = context or _current(file)
    async with Kube.connect(file, chosen) as kube:
        namespace = await kube.get("v1", "Namespace", "kube-system")
        nodes = await kube.list("v1", "Node")
        version = (await kube.raw("/version")).json()
    uid = namespace["metadata"]["uid"]
    for name in clusters.recorded():
        record = clusters.load_record(name)
        if record is not None and record.uid == uid:
            return record.cluster(engine)
    runtime = nodes[0]["status"]["nodeInfo"]["containerRuntimeVersion"] if nodes else ""
    return Cluster(
        name=chosen,
        kubeconfig=file,
        context=chosen,
        shape="attached",
        nodes=tuple(sorted((_node(node) for node in nodes), key=lambda node: node.name)),
        entry_ports=(),
        uid=uid,
        versions=Versions(
            kubernetes=version["gitVersion"],
            containerd=runtime.replace("://", " "),
            kind="",
            node_image=nodes[0]["status"]["nodeInfo"]["osImage"] if nodes else "",
        ),
        created=datetime.fromisoformat(namespace["metadata"]["creationTimestamp"]),
        # By identity, not by context: two contexts of one cluster must share their leases.
        folder=paths.clusters() / f"@{uid}",
        owned=False,
        faults_allowed=context is not None,
    )


def _current(kubeconfig: Path) -> str:
    text = kubeconfig.read_text() if kubeconfig.is_file() else ""
    current = (yaml.safe_load(text) or {}).get("current-context")
    if not current:
        raise UsageError(
            f"{kubeconfig} has no current context",
            remedy="name one (`--context NAME`), or use a cluster of the harness (`harness up`)",
        )
    return str(current)


def _node(node: Obj) -> Node:
    labels = node["metadata"].get("labels", {})
    role = CONTROL_PLANE if _ROLE_LABEL in labels else WORKER
    return Node(name=node["metadata"]["name"], role=role)
