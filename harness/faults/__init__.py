"""The faults: one file each. `base` has what they share and the cycle that a trial drives."""

from __future__ import annotations

from harness.faults.cut_connections import CutConnections
from harness.faults.relocate import Relocate
from harness.faults.slow_dependency import SlowDependency
from harness.faults.stuck_volume import StuckVolume

__all__ = ["CutConnections", "Relocate", "SlowDependency", "StuckVolume"]
