"""What an undo may reach for: API servers and nodes of the clusters that records name.

Opened on demand, kept for the length of the scope, and verified: nothing is touched on a cluster
whose kube-system namespace has another UID than the one written down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from harness.cluster import clusters, condition
from harness.cluster.clusters import Cluster
from harness.errors import ClusterError, UsageError
from harness.host.engine import Engine, find_engine
from harness.kube.client import Kube
from harness.nodes.nodes import NodeCommands, node_commands
from harness.undo.record import ClusterRef, Record


class World:
    """The clusters that are within reach. Not for use by several tasks at once."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._kubes: dict[str, Kube] = {}
        self._nodes: dict[str, NodeCommands] = {}
        self._engine: Engine | None = None
        self._looked_for_engine = False

    def adopt(self, cluster: Cluster, *, kube: Kube, nodes: NodeCommands | None = None) -> None:
        """Uses connections that are open already; they stay the caller's to close."""
        self._kubes[cluster.uid] = kube
        if nodes is not None:
            self._nodes[cluster.uid] = nodes

    async def why_gone(self, ref: ClusterRef) -> str:
        """Why nothing on that cluster needs undoing any more; empty if it is there to be healed.

        Judged by what is recorded on this host and by the container engine, without asking the
        cluster: it may be unable to answer because of the very fault that is to be undone. Nodes
        that an engine no longer runs are never used again, only made anew.
        """
        record = clusters.load_record(ref.name)
        if record is None:
            return f"cluster {ref.name!r} no longer exists"
        if record.uid != ref.uid:
            return f"cluster {ref.name!r} was rebuilt since (kube-system had UID {ref.uid})"
        engine = self.engine()
        seen = await condition.observe(ref.name, engine) if engine is not None else None
        if seen is not None and seen.state == "stopped":
            return f"cluster {ref.name!r} has to be made anew: {seen.reason}"
        return ""

    async def kube(self, record: Record) -> Kube:
        """The API server of the record's cluster. Raises `ClusterError` if it is another one."""
        ref = _cluster_of(record)
        if ref.uid not in self._kubes:
            kube = await self._stack.enter_async_context(
                Kube.connect(Path(ref.kubeconfig), ref.context)
            )
            uid = await kube.uid()
            if uid != ref.uid:
                raise OtherClusterError(
                    f"context {ref.context!r} leads to another cluster now: kube-system has UID"
                    f" {uid}, the record says {ref.uid}",
                    remedy="Nothing was touched. If the old cluster is gone, so is the change.",
                )
            self._kubes[ref.uid] = kube
        return self._kubes[ref.uid]

    async def nodes(self, record: Record) -> NodeCommands:
        """Commands in the nodes of the record's cluster."""
        ref = _cluster_of(record)
        if ref.uid not in self._nodes:
            self._nodes[ref.uid] = node_commands(await self.cluster(record))
        return self._nodes[ref.uid]

    async def cluster(self, record: Record) -> Cluster:
        """The handle of the record's cluster; its engine is None if none runs."""
        ref = _cluster_of(record)
        known = clusters.load_record(ref.name)
        if known is None:
            raise ClusterError(f"cluster {ref.name!r} no longer exists", remedy="`harness up`")
        return known.cluster(self.engine())

    def engine(self) -> Engine | None:
        """The container engine that runs, looked for once; never started here."""
        if not self._looked_for_engine:
            self._engine = find_engine()
            self._looked_for_engine = True
        return self._engine


class OtherClusterError(ClusterError):
    """A context leads to another cluster than the one that was meant."""


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    """A world for the length of the scope; what it opened is closed with it."""
    async with AsyncExitStack() as stack:
        yield World(stack)


def _cluster_of(record: Record) -> ClusterRef:
    if record.cluster is None:
        raise UsageError(
            f"the record {record} names no cluster", remedy="Its undo must not ask for one."
        )
    return record.cluster
