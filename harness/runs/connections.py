"""What trials stand on: the dead healed, a cluster up, connections to it open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from harness.cluster import lifecycle
from harness.cluster.clusters import Cluster
from harness.cluster.shapes import smallest
from harness.errors import HarnessError
from harness.kube.client import Kube
from harness.nodes.nodes import node_commands
from harness.runs.options import Options
from harness.trial.placement import Connections
from harness.undo.healing import HealReport, heal_dead
from harness.undo.ledger import Ledger
from harness.undo.reach import open_world


@asynccontextmanager
async def connected_cluster(options: Options, shape: str) -> AsyncIterator[Connections]:
    """Heal what the dead left, see to a cluster, and open what trials stand on."""
    await heal_first()
    wanted = smallest([shape, options.shape] if options.shape else [shape])
    name = options.cluster or default_cluster(wanted)
    cluster = await lifecycle.bring_up(name, wanted, or_larger=True)
    async with connect(cluster) as connections:
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
