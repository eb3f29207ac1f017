"""A cluster on paper: free ports, the files that its nodes mount, and its kind config.

Written below the cluster's folder before anything is made. The texts are `harness.cluster.shapes`'
business, creating the cluster `harness.cluster.lifecycle`'s.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.cluster import clusters, shapes, volumes
from harness.cluster.shapes import ENTRY_PORTS, FIRST_NODE_PORT, EntryPort, Shape
from harness.errors import HostError
from harness.images.registry import containerd_patches, node_files

_MINIMUM_DISK = 2 * 10**9
_CERTS = PurePosixPath("/etc/containerd/certs.d")


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A kind config on disk and the entry ports that it maps."""

    config: Path
    entry_ports: tuple[EntryPort, ...]


def draw(name: str, shape: Shape) -> Blueprint:
    """Choose free ports and write everything that `kind create cluster` needs.

    Raises `HostError` when the disk is nearly full or the folder cannot be written.
    """
    folder = clusters.folder(name)
    if ":" in str(folder):
        raise HostError(
            f"the engine cannot mount from {folder}: there is a ':' in it",
            remedy="set HARNESS_HOME to a folder without one",
        )
    api_port, *host_ports = free_ports(1 + ENTRY_PORTS)
    ports = tuple(
        EntryPort(node_port=FIRST_NODE_PORT + index, host_port=port)
        for index, port in enumerate(host_ports)
    )
    try:
        config = _write(folder, name, shape, api_port=api_port, ports=ports)
    except OSError as error:
        raise HostError(
            f"cannot write the cluster's files in {folder}: {error}",
            remedy="see whether the disk is full or the folder belongs to somebody else",
        ) from error
    return Blueprint(config=config, entry_ports=ports)


def _write(
    folder: Path, name: str, shape: Shape, *, api_port: int, ports: Sequence[EntryPort]
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < _MINIMUM_DISK:
        raise HostError(
            f"only {free / 1e9:.1f} GB are free in {folder}",
            remedy=f"free some space: a cluster needs at least {_MINIMUM_DISK / 1e9:.0f} GB",
        )
    node, certs, data = folder / "node", folder / "certs.d", volumes.folder(folder)
    for made in (node, certs, data):
        made.mkdir(exist_ok=True)
    (node / "audit-policy.yaml").write_text(shapes.audit_policy())
    for path, text in node_files().items():
        file = certs / PurePosixPath(path).relative_to(_CERTS)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    config = folder / "kind.yaml"
    config.write_text(
        shapes.render(
            shape,
            cluster=name,
            api_port=api_port,
            entry_ports=ports,
            node_folder=node,
            certs_folder=certs,
            volumes_folder=data,
            containerd_patches=containerd_patches(),
        )
    )
    return config


def recipe(shape: Shape, image: str) -> str:
    """Digest of what a cluster is made from, ports aside: another one means it is out of date."""
    text = shapes.render(
        shape,
        cluster="x",
        api_port=1,
        entry_ports=[],
        node_folder=Path("/x"),
        certs_folder=Path("/x"),
        volumes_folder=Path("/x"),
        containerd_patches=containerd_patches(),
    )
    parts = (text, shapes.audit_policy(), image)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on; all different, free at this moment only."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
