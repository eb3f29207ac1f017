"""The add-ons that faults need, installed before the baseline is taken."""

from __future__ import annotations

from collections.abc import Iterable

from harness.addons import addons
from harness.faults.base import Fault
from harness.trial.placement import Connections


def needed_addons(faults: Iterable[Fault]) -> list[str]:
    """Names of the add-ons without which these faults can do nothing."""
    return sorted({name for fault in faults for name in fault.addons})


async def equip(connections: Connections, faults: Iterable[Fault]) -> None:
    """The add-ons that faults need are there and work; about a second each if they were.

    Comes before the baseline, and under a lease, so that no trial takes them for residue.
    """
    for name in needed_addons(faults):
        await addons.install(name, connections.cluster, kube=connections.kube)
