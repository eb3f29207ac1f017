"""The faults: one file each. `base` has what they share and the cycle that a trial drives."""

from __future__ import annotations

from harness.faults.connections_used_up import ConnectionsUsedUp
from harness.faults.cut_connections import CutConnections
from harness.faults.delete_pods import DeletePods
from harness.faults.drain import Drain
from harness.faults.exploit import Exploit
from harness.faults.hang import Hang
from harness.faults.heap_at_start import HeapAtStart
from harness.faults.memory_pressure import MemoryPressure
from harness.faults.node_loss import NodeLoss
from harness.faults.occupied_pool import OccupiedPool
from harness.faults.release import Release
from harness.faults.relocate import Relocate
from harness.faults.rolling_restart import RollingRestart
from harness.faults.scale import Scale
from harness.faults.slow_dependency import SlowDependency
from harness.faults.slow_start import SlowStart
from harness.faults.stuck_volume import StuckVolume
from harness.faults.tagged_image import TaggedImage

__all__ = [
    "ConnectionsUsedUp",
    "CutConnections",
    "DeletePods",
    "Drain",
    "Exploit",
    "Hang",
    "HeapAtStart",
    "MemoryPressure",
    "NodeLoss",
    "OccupiedPool",
    "Release",
    "Relocate",
    "RollingRestart",
    "Scale",
    "SlowDependency",
    "SlowStart",
    "StuckVolume",
    "TaggedImage",
]
