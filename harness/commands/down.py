"""`harness down`: clusters that are gone, with everything kept of them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from harness.cluster import clusters
from harness.cluster.clusters import DEFAULT_NAME
from harness.cluster.lifecycle import take_down
from harness.commands.running import out, until_done
from harness.commands.up import CLUSTER_HELP
from harness.host.engine import stop_engine


def down(
    cluster: Annotated[
        str, typer.Option("--cluster", "-c", metavar="NAME", help=CLUSTER_HELP)
    ] = DEFAULT_NAME,
    every: Annotated[bool, typer.Option("--all", help="Every cluster of the harness.")] = False,
    force: Annotated[bool, typer.Option(help="Even while somebody uses it.")] = False,
    engine: Annotated[
        bool, typer.Option("--engine", help="Then stop the private container engine, if one runs.")
    ] = False,
) -> None:
    """Delete a cluster and everything kept of it.

    Clusters that the harness did not make are never touched. Images and tools stay, so the next
    `harness up` is quick.

    \b
    Examples:
      harness down
      harness down -c second
      harness down --all --engine
    """
    until_done(_down(clusters.recorded() if every else [cluster], force=force, engine=engine))


async def _down(names: list[str], *, force: bool, engine: bool) -> None:
    for name in names:
        gone = await take_down(name, force=force)
        out.print(f"cluster {name} is gone" if gone else f"there is no cluster {name}")
    if engine:
        stopped = await asyncio.to_thread(stop_engine)
        out.print("the private engine is stopped" if stopped else "no private engine runs")
