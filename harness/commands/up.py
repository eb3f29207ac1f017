"""`harness up`: a cluster that runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cluster import shapes
from harness.cluster.clusters import DEFAULT_NAME, Cluster, default_kubeconfig
from harness.cluster.lifecycle import bring_up, merge_kubeconfig
from harness.commands.running import out, until_done
from harness.undo.healing import heal_dead
from harness.undo.reach import open_world

ShapeName = StrEnum("ShapeName", {name: name for name in shapes.SHAPES})  # type: ignore[misc]

CLUSTER_HELP = "Name of the cluster; several can run at once."


def up(
    cluster: Annotated[
        str, typer.Option("--cluster", "-c", metavar="NAME", help=CLUSTER_HELP)
    ] = DEFAULT_NAME,
    shape: Annotated[
        ShapeName | None,
        typer.Option(
            help="single: one node. workers: a control plane and three workers. ha: three control "
            "planes. full: three of each. Default: what the cluster has, else single."
        ),
    ] = None,
    rebuild: Annotated[bool, typer.Option(help="Make it anew even if it is well.")] = False,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge-kubeconfig",
            help="Also write the cluster into your own kubeconfig ($KUBECONFIG, else "
            "~/.kube/config), which is otherwise left alone.",
        ),
    ] = False,
) -> None:
    """Start a cluster, or make sure that it runs.

    Sets up what is missing first (container engine, node image, registry). On a cluster that is
    well it changes nothing and takes a second; one that a stopped engine or a killed process left
    behind is recognised and rebuilt.

    \b
    Examples:
      harness up                            the cluster `harness`, one node
      harness up --shape workers            three workers beside the control plane
      harness up -c second --shape ha       another cluster beside it
    """
    until_done(_up(cluster, shape.value if shape else None, rebuild=rebuild, merge=merge))


async def _up(name: str, shape: str | None, *, rebuild: bool, merge: bool) -> None:
    # A node that a killed process left paused would look like a broken cluster.
    for line in (await heal_dead(open_world)).lines():
        out.print(f"  {line}", markup=False)
    cluster = await bring_up(name, shape, rebuild=rebuild)
    _tell(cluster)
    if merge:
        into = default_kubeconfig()
        await merge_kubeconfig(cluster, into)
        out.print(f"  written into {into}, as its current context {cluster.context}")


def _tell(cluster: Cluster) -> None:
    versions = cluster.versions
    out.print(
        f"cluster {cluster.name} is up: {cluster.shape}, {len(cluster.nodes)} node(s), "
        f"Kubernetes {versions.kubernetes}, {versions.containerd}"
    )
    out.print("  to look at it:")
    out.print(f"    export KUBECONFIG={_quoted(cluster.kubeconfig)}")
    out.print("    kubectl get nodes")


def _quoted(path: Path) -> str:
    text = str(path)
    return f"'{text}'" if " " in text else text
