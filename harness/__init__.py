"""What an author of scenarios and tests imports; everything else is internal."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import families, faults, objectives
    from harness.declare import Expect, Load, Scenario
    from harness.objectives import shows

__all__ = ["Expect", "Load", "Scenario", "families", "faults", "objectives", "shows"]

# Imported on first use: faults bring in the Kubernetes client, a second that neither the load
# generator nor `harness --help` should pay.
_HOMES = {
    "Expect": "harness.declare",
    "Load": "harness.declare",
    "Scenario": "harness.declare",
    "families": "harness.families",
    "faults": "harness.faults",
    "objectives": "harness.objectives",
    "shows": "harness.objectives.shows",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    module = importlib.import_module(home)
    return module if home.endswith(f".{name}") else getattr(module, name)
