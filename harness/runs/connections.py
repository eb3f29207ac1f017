"""What trials stand on: the dead healed, a cluster up, connections to it open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from harness.cluster import clusters, lifecycle, residue
from harness.cluster.clusters import Cluster
from harness.cluster.leases import cluster_lease
from harness.cluster.shapes import smallest
from harness.errors import ResidueError
from harness.host.progress import reporter
from harness.kube.client import Kube
from harness.nodes.nodes import node_commands
from harness.runs.options import Options
from harness.trial.placement import Connections
from harness.undo.healing import heal_dead
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

    While the lease is waited for, others may die on the cluster, make it anew, or leave something
    that they could not remove. What the dead left is undone before anything else. Where that cannot
    be, or something else is left, the lease is let go again, so that `find`, which needs the
    cluster alone, makes it anew.
    """
    while True:
        cluster = await find()
        async with cluster_lease(cluster.folder, exclusive=exclusive, purpose=purpose) as lease:
            report = await heal_dead(open_world, under=lease)
            if report.failed:
                residue.note(cluster.folder, report.lines())
            if residue.left_on(cluster.folder) or not clusters.is_current(cluster):
                continue
            async with connect(cluster) as connections:
                yield connections
                return


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


async def heal_first() -> None:
    """What every start does: undo what dead processes left, before a cluster is looked at.

    A node that a killed process left paused would look like a broken cluster. What cannot be undone
    is told, and tried again under the lease of whoever uses the cluster. Raises ResidueError for a
    ledger that says something which nobody understands.
    """
    report = await heal_dead(open_world)
    for line in report.lines():
        reporter().say(line)
    if report.unreadable:
        raise ResidueError(
            "what an earlier process left is not known:\n    " + "\n    ".join(report.unreadable),
            remedy="see what the line says, undo it by hand, and move the file away",
        )


def default_cluster(shape: str) -> str:
    """The cluster that runs use unless told otherwise."""
    return "harness" if shape == "single" else f"harness-{shape}"
