"""Cluster shapes: which nodes a kind cluster has, and its rendered kind config.

Pure: the templates of `kind-configs/` and values in, text out. Creating anything is
`harness.cluster.kind`'s business, choosing free ports `harness.cluster.lifecycle`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from harness import paths
from harness.errors import UsageError

# NodePorts 30000-32767 are Kubernetes' default range; its lower part is never picked at random
# for Services without a number of their own (kube-apiserver's static band: the first 86 ports).
FIRST_NODE_PORT = 30000
ENTRY_PORTS = 12

CONTROL_PLANE = "control-plane"
WORKER = "worker"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A named set of nodes. `minimum_memory` is what it takes idle, in bytes (measured, rounded up:
    a control plane 600 MB, a worker 200 MB)."""

    name: str
    summary: str
    control_planes: int
    workers: int

    def serves(self, asked: Shape) -> bool:
        """True if what asks for a cluster of the other shape may stand on one of this."""
        return self.control_planes >= asked.control_planes and self.workers >= asked.workers

    @property
    def minimum_memory(self) -> int:
        return (self.control_planes * 600 + self.workers * 200) * 1_000_000

    def nodes(self, cluster: str) -> tuple[tuple[str, str], ...]:
        """(container and node name, role), in kind's naming: `x-control-plane`, `x-worker2`."""
        roles = [CONTROL_PLANE] * self.control_planes + [WORKER] * self.workers
        seen: dict[str, int] = {}
        named = []
        for role in roles:
            seen[role] = seen.get(role, 0) + 1
            suffix = "" if seen[role] == 1 else str(seen[role])
            named.append((f"{cluster}-{role}{suffix}", role))
        return tuple(named)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape(name="single", summary="one node", control_planes=1, workers=0),
        Shape(
            name="workers", summary="one control plane, three workers", control_planes=1, workers=3
        ),
        Shape(name="ha", summary="three control planes", control_planes=3, workers=0),
        Shape(
            name="full", summary="three control planes, three workers", control_planes=3, workers=3
        ),
    )
}
"""By name, the smallest first; the last one serves whatever any asks for."""


@dataclass(frozen=True, kw_only=True)
class EntryPort:
    """A NodePort of the cluster and the port of 127.0.0.1 that leads to it."""

    node_port: int
    host_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.host_port}"


def shape(name: str) -> Shape:
    """The shape of that name; raises `UsageError`."""
    if name not in SHAPES:
        known = "; ".join(f"{s.name} ({s.summary})" for s in SHAPES.values())
        raise UsageError(f"there is no cluster shape {name!r}", remedy=f"use one of: {known}")
    return SHAPES[name]


def smallest(asked: Iterable[str]) -> str:
    """The name of the smallest shape that serves all of these names."""
    wanted = [SHAPES[name] for name in asked]
    return next(s.name for s in SHAPES.values() if all(s.serves(each) for each in wanted))


def render(
    shape: Shape,
    *,
    cluster: str,
    api_port: int,
    entry_ports: Sequence[EntryPort],
    node_folder: Path,
    certs_folder: Path,
    volumes_folder: Path,
    containerd_patches: Sequence[str] = (),
) -> str:
    """The kind config as YAML text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.data("kind-configs")),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{shape.name}.yaml.j2").render(
        name=cluster,
        api_port=api_port,
        entry_ports=entry_ports,
        node_folder=str(node_folder),
        certs_folder=str(certs_folder),
        volumes_folder=str(volumes_folder),
        containerd_patches=containerd_patches,
    )


def audit_policy() -> str:
    """The audit policy of every shape, as YAML text."""
    return (paths.data("kind-configs") / "audit-policy.yaml").read_text()
