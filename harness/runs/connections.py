"""What trials stand on: the dead healed, a cluster up, connections to it open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from harness.cluster import lifecycle, residue
from harness.cluster.clusters import Cluster
from harness.cluster.leases import cluster_lease
from harness.cluster.shapes import smallest
from harness.errors import HarnessError
from harness.kube.client import Kube
from harness.nodes.nodes import node_commands
from harness.runs.options import Options
from harness.trial.placement import Connections
from harness.undo.healing import HealReport, heal_dead
from harness.undo.ledger import Ledger
from harness.undo.reach import open_world

Find = Callable[[], Awaitable[Cluster]]
"""Sees to a cluster that is well."""


async def find_cluster(options: Options, shape: str) -> Cluster:
    """Heal what the dead left, and see to a cluster; a second if it is there and well."""
    await heal_first()
    wanted = smallest([shape, options.shape] if options.shape else [shape])
    name = options.cluster or default_cluster(wanted)
    return await lifecycle.bring_up(name, wanted, or_larger=True)


@asynccontextmanager
async def leased_cluster(
    find: Find, *, exclusive: bool, purpose: str
) -> AsyncIterator[Connections]:
    """A cluster under a lease of its own, shared or alone, and connections to it.

    A trial may leave something on it while the lease is waited for. Then it is let go again, so
    that `find`, which needs it alone, makes it anew.
    """
    while True:
        cluster = await find()
        async with cluster_lease(cluster.folder, exclusive=exclusive, purpose=purpose):
            if residue.left_on(cluster.folder):
                continue
            async with connect(cluster) as connections:
                yield connections
                return


@asynccontextmanager
async def connected_cluster(options: Options, shape: str) -> AsyncIterator[Connections]:
    """A cluster and connections to it, without a lease: for looking at it."""
    async with connect(await find_cluster(options, shape)) as connections:
        yield connections


@asynccontextmanager
async def connect(cluster: Cluster) -> AsyncIterator[Connections]:
    """Connections to a cluster and a ledger of this process, for the length of the scope."""
    async with (
        Kube.connect(cluster.kubeconfig, cluster.context) as kube,
        open_world() as world,
    ):
        nodes = node_commands(cluster)
        world.adopt(cluster, kube=kube, nodes=nodes)
        with Ledger.open() as ledger:
            yield Connections(cluster=cluster, kube=kube, nodes=nodes, ledger=ledger, world=world)


async def heal_first() -> HealReport:
    """What every start does: undo what dead processes left. Raises HarnessError if it cannot."""
    report = await heal_dead(open_world)
    if not report.clean:
        raise HarnessError(
            "what an earlier process left could not be undone:\n    "
            + "\n    ".join(report.lines()),
            remedy="run `harness heal` when the cluster answers again, or rebuild it: "
            "`harness up --rebuild`",
        )
    return report


def default_cluster(shape: str) -> str:
    """The cluster that runs use unless told otherwise."""
    return "harness" if shape == "single" else f"harness-{shape}"
