"""`harness doctor`: can this machine do it, and if not, what to do about it.

`findings` and `fault_rows` are pure: facts in, rows out. Collecting facts is
`harness.images.host_facts`'s business, printing `harness.commands.doctor`'s. A fault says itself
what it needs of a host (`host_support`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.cluster.shapes import SHAPES
from harness.faults.base import Fault
from harness.host.engine import INSTALL_REMEDY
from harness.images.host_facts import FEATURES, HostFacts

Level = Literal["ok", "warn", "fail"]

_GB = 10**9
# Measured: built images, engine and tools take 4 GB; a build on the way another 4.
_DISK_NEEDED = 4 * _GB
_DISK_WANTED = 10 * _GB
# One node (0.6 GB), the sample subject with its load (0.8 GB), the harness itself.
_MEMORY_NEEDED = 2 * _GB
_MEMORY_WANTED = 4 * _GB


@dataclass(frozen=True, kw_only=True)
class HostCheck:
    """One row: what was looked at, what was found, and the remedy if it is not ok.

    `fail` means that the harness cannot work here; `warn` that a part of it cannot, or is slow.
    """

    subject: str
    level: Level
    found: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class FaultRow:
    """What this host offers for one fault."""

    fault: str
    state: Literal["supported", "degraded", "unsupported"]
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Facts that only doctor wants: ports of 127.0.0.1, programs, clusters by state."""

    free_ports: int
    ports_wanted: int
    python: tuple[int, int, int]
    go: str
    clusters: Mapping[str, str]


def findings(host: HostFacts, around: Surroundings) -> list[HostCheck]:
    """Everything but the faults, most needed first."""
    return [
        _engine(host),
        _cgroups(host),
        _node_image(host),
        _registries(host),
        _memory(host),
        _disk(host),
        _processors(host),
        _ports(around),
        _python(around),
        _go(host, around),
        *_features(host),
        *_clusters(around),
    ]


def fault_rows(host: HostFacts, faults: Mapping[str, type[Fault]]) -> list[FaultRow]:
    """Supported, degraded or unsupported for each fault, by name; the faults judge themselves."""
    rows = []
    for name, fault in sorted(faults.items()):
        support = fault.host_support(host)
        rows.append(FaultRow(fault=name, state=support.state, why=support.why))
    return rows


def all_needed_is_there(rows: Sequence[HostCheck]) -> bool:
    """False if anything without which nothing works is missing."""
    return all(row.level != "fail" for row in rows)


def _engine(host: HostFacts) -> HostCheck:
    if host.engine is not None:
        return HostCheck(subject="container engine", level="ok", found=host.engine)
    if host.root and shutil.which("apt-get"):
        return HostCheck(
            subject="container engine",
            level="warn",
            found="none answers; `harness setup` installs a private one",
            remedy="nothing to do: `harness setup`, `harness up` and `make demo` set it up",
        )
    return HostCheck(
        subject="container engine", level="fail", found="none answers", remedy=INSTALL_REMEDY
    )


def _cgroups(host: HostFacts) -> HostCheck:
    if host.cgroup_version == 2:
        return HostCheck(subject="cgroup version", level="ok", found="2")
    return HostCheck(
        subject="cgroup version",
        level="warn",
        found="1: memory verdicts are of cgroup v1 and say so; kind's default node image needs v2",
        remedy="boot with systemd.unified_cgroup_hierarchy=1 if verdicts must be of v2",
    )


def _node_image(host: HostFacts) -> HostCheck:
    choice = host.node_image
    if choice is None:
        return HostCheck(
            subject="node image",
            level="warn",
            found="chosen once an engine runs",
            remedy="see above",
        )
    there = "present" if choice.present else "not made yet, `harness setup` makes it"
    return HostCheck(
        subject="node image",
        level="ok",
        found=f"{choice.image} over {choice.base} ({choice.origin}: {choice.reason}), {there}",
    )


def _registries(host: HostFacts) -> HostCheck:
    if host.registry_answers is None:
        return HostCheck(subject="registries", level="ok", found="not asked: no engine answers yet")
    if host.registry_answers:
        return HostCheck(subject="registries", level="ok", found="reached: images can be pulled")
    return HostCheck(
        subject="registries",
        level="ok",
        found="none reached: the node image and everything in it are built here",
    )


def _memory(host: HostFacts) -> HostCheck:
    free, total = host.memory_free_bytes, host.memory_bytes
    found = f"{free / _GB:.1f} GB free of {total / _GB:.1f} GB"
    if free < _MEMORY_NEEDED:
        return HostCheck(
            subject="memory",
            level="fail",
            found=found,
            remedy=f"free some: one node and the sample subject take {_MEMORY_NEEDED / _GB:.0f} GB",
        )
    largest = max(shape.minimum_memory for shape in SHAPES.values())
    if free < max(largest, _MEMORY_WANTED):
        return HostCheck(
            subject="memory",
            level="warn",
            found=f"{found}: enough for shape single only",
            remedy=f"shapes workers and ha with load want {_MEMORY_WANTED / _GB:.0f} GB",
        )
    return HostCheck(subject="memory", level="ok", found=found)


def _disk(host: HostFacts) -> HostCheck:
    free = host.disk_free_bytes
    found = f"{free / _GB:.1f} GB free for the state folder"
    remedy = "free some, or set HARNESS_HOME to a folder on a larger disk"
    if free < _DISK_NEEDED:
        return HostCheck(subject="disk", level="fail", found=found, remedy=remedy)
    if free < _DISK_WANTED:
        return HostCheck(subject="disk", level="warn", found=found, remedy=remedy)
    return HostCheck(subject="disk", level="ok", found=found)


def _processors(host: HostFacts) -> HostCheck:
    if host.cpus >= 2:
        return HostCheck(subject="processors", level="ok", found=str(host.cpus))
    return HostCheck(
        subject="processors",
        level="warn",
        found=str(host.cpus),
        remedy="with one processor the load generator falls behind: verdicts will be inconclusive",
    )


def _ports(around: Surroundings) -> HostCheck:
    found = f"{around.free_ports} of {around.ports_wanted} ports wanted on 127.0.0.1 can be had"
    if around.free_ports >= around.ports_wanted:
        return HostCheck(subject="ports", level="ok", found=found)
    return HostCheck(
        subject="ports",
        level="fail",
        found=found,
        remedy="end what holds them, or widen net.ipv4.ip_local_port_range",
    )


def _python(around: Surroundings) -> HostCheck:
    return HostCheck(
        subject="Python",
        level="ok",
        found=f"{'.'.join(map(str, around.python))} at {sys.executable}",
    )


def _go(host: HostFacts, around: Surroundings) -> HostCheck:
    if around.go:
        return HostCheck(subject="Go", level="ok", found=around.go)
    return HostCheck(
        subject="Go", level="ok", found="none: `harness setup` brings the one that builds need"
    )


def _features(host: HostFacts) -> list[HostCheck]:
    rows = []
    for name, purpose in FEATURES.items():
        if name in host.features:
            rows.append(HostCheck(subject=f"kernel: {name}", level="ok", found=purpose))
        elif name in host.unknown:
            rows.append(
                HostCheck(
                    subject=f"kernel: {name}",
                    level="warn",
                    found=f"not known ({host.why_not(name)}): {purpose}",
                    remedy="run `harness setup` first: the node image carries the tools to ask",
                )
            )
        else:
            rows.append(
                HostCheck(
                    subject=f"kernel: {name}",
                    level="warn",
                    found=f"missing ({host.why_not(name)}): {purpose}",
                    remedy="see below which faults that concerns; another kernel may have it",
                )
            )
    return rows


def _clusters(around: Surroundings) -> list[HostCheck]:
    rows = []
    for name, state in around.clusters.items():
        well = state in ("running", "creating", "foreign")
        rows.append(
            HostCheck(
                subject=f"cluster {name}",
                level="ok" if well else "warn",
                found=state,
                remedy="" if well else f"`harness up --cluster {name}` rebuilds it",
            )
        )
    return rows
