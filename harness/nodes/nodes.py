"""Commands in a node, through one interface with two back ends.

Nodes of our own clusters are containers, reached by the engine. Nodes of other clusters are reached
by a privileged pod (`harness.nodes.by_pod`). What is run there is the caller's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from harness.cluster.clusters import Cluster
from harness.errors import ClusterError
from harness.host import processes
from harness.host.engine import Engine
from harness.host.processes import Completed

_MARGIN_SECONDS = 10.0


class NodeCommands(Protocol):
    """Runs commands in nodes, as root, in the node's own namespaces."""

    async def run(
        self, node: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60
    ) -> Completed:
        """Run to the end. After `timeout` seconds the command is killed in the node and the code is
        124 (137 if it had to be forced). A non-zero code is returned: `.require()` raises on it."""
        ...


def bounded(argv: Sequence[str], timeout: float) -> list[str]:
    """`argv` such that it ends by itself: the engine's client dying does not end what it started
    in the container."""
    return ["timeout", "--kill-after=2", f"{timeout:g}", *argv]


class ContainerNodes:
    """Back end for clusters of ours: exec into the node's container."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(
        self, node: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60
    ) -> Completed:
        interactive = [] if stdin is None else ["--interactive"]
        return await processes.run(
            ["docker", "exec", *interactive, node, *bounded(argv, timeout)],
            env=self._engine.env,
            stdin=stdin,
            timeout=timeout + _MARGIN_SECONDS,
        )


@asynccontextmanager
async def node_commands(
    cluster: Cluster, *, image: str | None = None
) -> AsyncIterator[NodeCommands]:
    """The right back end for the cluster, valid while the body runs.

    `image` is needed for clusters that are not ours: one with `nsenter` and `sleep` that its nodes
    can pull. Raises `ClusterError` if faults are not allowed there or the image is missing.
    """
    if cluster.owned:
        if cluster.engine is None:
            raise ClusterError(
                f"cluster {cluster.name!r} has no running container engine",
                remedy=f"`harness up --cluster {cluster.name}`",
            )
        yield ContainerNodes(cluster.engine)
        return
    cluster.require_faults_allowed()
    if image is None:
        raise ClusterError(
            f"commands in the nodes of {cluster.context!r} need a privileged pod",
            remedy="give an image with nsenter that its nodes can pull (`--node-image-for-pods`)",
        )
    # Only here: the Kubernetes client takes a second to import, and clusters of ours need none.
    from harness.nodes.by_pod import pod_nodes

    async with pod_nodes(cluster, image=image) as pods:
        yield pods
