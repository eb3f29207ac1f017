"""Clusters as values: the handle everybody works with, and the record kept of each on disk.

Nothing here starts or changes a cluster (`harness.cluster.lifecycle` does) or judges whether it is
well (`harness.cluster.condition`).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from harness import paths
from harness.cluster.shapes import CONTROL_PLANE, EntryPort
from harness.errors import ClusterError, UsageError
from harness.host.engine import Engine
from harness.host.files import private_folder, write_json

DEFAULT_NAME = "harness"
# The longest name in the cluster is `<name>-external-load-balancer`; a host name has 63 characters.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,34}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node's name (for clusters of ours its container's too) and role."""

    name: str
    role: str


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What the cluster is made of, as its API server and nodes report it."""

    kubernetes: str
    containerd: str
    kind: str
    node_image: str


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that can be worked with.

    All are made by the harness. `uid` is the UID of the namespace kube-system, its identity.
    `folder` holds its leases. `engine` runs its nodes; None when no engine runs.
    """

    name: str
    kubeconfig: Path
    context: str
    shape: str
    nodes: tuple[Node, ...]
    entry_ports: tuple[EntryPort, ...]
    uid: str
    versions: Versions
    created: datetime
    folder: Path
    engine: Engine | None = field(repr=False, compare=False, default=None)

    @property
    def control_planes(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.role == CONTROL_PLANE)

    @property
    def entry_node(self) -> Node:
        """The node that entry ports lead to: no fault may touch it."""
        return self.control_planes[0]


class EntryPortRecord(BaseModel):
    node_port: int
    host_port: int


class NodeRecord(BaseModel):
    name: str
    role: str


class VersionsRecord(BaseModel):
    kubernetes: str
    containerd: str
    kind: str
    node_image: str


class ClusterRecord(BaseModel):
    """`state.json`. Written before the first container is made, so that nothing is ever unknown."""

    format: Literal[1] = 1
    name: str
    shape: str
    phase: Literal["creating", "ready"]
    created: datetime
    nodes: list[NodeRecord]
    entry_ports: list[EntryPortRecord]
    recipe: str
    uid: str = ""
    versions: VersionsRecord | None = None
    merged_into: list[Path] = []

    @property
    def folder(self) -> Path:
        return folder(self.name)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def save(self) -> None:
        """Write it whole or not at all, and to the disk."""
        private_folder(self.folder)
        write_json(self.folder / "state.json", self.model_dump(mode="json"))

    def cluster(self, engine: Engine | None) -> Cluster:
        """The handle; raises `ClusterError` while the cluster is not ready."""
        if self.phase != "ready" or self.versions is None:
            raise ClusterError(
                f"cluster {self.name!r} was never finished",
                remedy=f"rebuild it: `harness up --cluster {self.name}`",
            )
        return Cluster(
            name=self.name,
            kubeconfig=self.kubeconfig,
            context=f"kind-{self.name}",
            shape=self.shape,
            nodes=tuple(Node(name=node.name, role=node.role) for node in self.nodes),
            entry_ports=tuple(
                EntryPort(node_port=port.node_port, host_port=port.host_port)
                for port in self.entry_ports
            ),
            uid=self.uid,
            versions=Versions(**self.versions.model_dump()),
            created=self.created,
            folder=self.folder,
            engine=engine,
        )


def is_current(cluster: Cluster) -> bool:
    """True if the cluster of that name is still this one, and was not deleted or made anew."""
    record = load_record(cluster.name)
    return record is not None and record.uid == cluster.uid


def folder(name: str) -> Path:
    """Where the cluster's state is."""
    return paths.clusters() / name


def valid_name(name: str) -> str:
    """The name itself; raises `UsageError` when kind or the host names could not carry it."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a cluster's name",
            remedy="use 1 to 36 lower-case letters, digits and '-', none of these at either end",
        )
    return name


def load_record(name: str) -> ClusterRecord | None:
    """The record of that cluster, None when there is none; raises `ClusterError` if unreadable."""
    file = folder(name) / "state.json"
    if not file.exists():
        return None
    try:
        return ClusterRecord.model_validate_json(file.read_text())
    except ValidationError as error:
        raise ClusterError(
            f"{file} is not a cluster's record: {error}",
            remedy=f"`harness down --cluster {name}`, then `harness up --cluster {name}`",
        ) from error


def recorded() -> list[str]:
    """Names of all clusters with a record."""
    return sorted(file.parent.name for file in paths.clusters().glob("*/state.json"))


def default_kubeconfig() -> Path:
    """The kubeconfig that kubectl would read first."""
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(named) if named else Path.home() / ".kube" / "config"
