"""Commands in a node, which is a container, reached by the engine that runs it.

What is run there is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.cluster.clusters import Cluster
from harness.errors import ClusterError
from harness.host import processes
from harness.host.engine import Engine
from harness.host.joined import joined
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
    """Exec into the node's container."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(
        self, node: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60
    ) -> Completed:
        interactive = [] if stdin is None else ["--interactive"]
        return await joined(
            processes.run(
                ["docker", "exec", *interactive, node, *bounded(argv, timeout)],
                env=self._engine.env,
                stdin=stdin,
                timeout=timeout + _MARGIN_SECONDS,
            )
        )


def node_commands(cluster: Cluster) -> NodeCommands:
    """Commands in the nodes of a cluster. Raises `ClusterError` if no engine runs."""
    if cluster.engine is None:
        raise ClusterError(
            f"cluster {cluster.name!r} has no running container engine",
            remedy=f"`harness up --cluster {cluster.name}`",
        )
    return ContainerNodes(cluster.engine)
