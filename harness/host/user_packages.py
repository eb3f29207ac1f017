"""Packages of the user's own that bring faults, objectives or observables of theirs.

Such a package names its modules under the entry-point group `GROUP`; importing one registers what
it declares. So every command, and every process that heals or judges later, finds it again, as it
finds what is shipped:

    [project.entry-points."resilience_harness.plugins"]
    shop = "shop_chaos.faults"
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from harness.errors import UsageError

GROUP = "resilience_harness.plugins"
OWN = "harness"


def load_plugins() -> None:
    """Import every module of the group. Raises UsageError that names the one that cannot be."""
    for entry in entry_points(group=GROUP):
        try:
            importlib.import_module(entry.module)
        except Exception as error:
            raise UsageError(
                f"the plugin {entry.name!r} ({entry.value}) cannot be imported: "
                f"{type(error).__name__}: {error}",
                remedy="mend or uninstall the package that names it",
            ) from error


def packages() -> frozenset[str]:
    """The packages that another process would come upon by itself: ours, and those of plugins."""
    return frozenset({OWN, *(each.module.partition(".")[0] for each in entry_points(group=GROUP))})
