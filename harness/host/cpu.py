"""Who uses the CPU of the machine that the cluster and the load stand on.

A subject that got too little of it fails for no fault of its configuration, so what others took is
recorded beside what the cluster's nodes took (the kubelets count that).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, kw_only=True)
class CpuUse:
    """CPU seconds since some fixed moment: of all processes, of this one with its children (the
    load generator among them), and those that the hypervisor gave to other machines."""

    cpus: int
    busy: float
    own: float
    stolen: float


def cpu_use() -> CpuUse:
    """What the kernel has counted so far; takes about 10 ms."""
    of = psutil.cpu_times()
    idle = of.idle + getattr(of, "iowait", 0.0)
    stolen = getattr(of, "steal", 0.0)
    # The kernel counts a guest's time as its host's user time, too.
    guests = getattr(of, "guest", 0.0) + getattr(of, "guest_nice", 0.0)
    return CpuUse(
        cpus=psutil.cpu_count() or 1,
        busy=sum(of) - idle - stolen - guests,
        own=sum(_own()),
        stolen=stolen,
    )


def _own() -> Iterator[float]:
    process = psutil.Process()
    times = process.cpu_times()
    # Those that ended are in the last two.
    yield times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            of = child.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended in between
        yield of.user + of.system
