"""Objectives: pure predicates on the history that answer met, broken or open.

`shows` beside them has what a failed variant must show. The lower-case names are what scenarios
write (`objectives.restarts("workload", at_most=0)`); each is the class of the same name.
"""

from __future__ import annotations

from harness.objectives.attempts import Refused
from harness.objectives.denials import Denied
from harness.objectives.drains import Drained
from harness.objectives.pods import Ready, Restarts
from harness.objectives.rollouts import Rollout, SelfHealing
from harness.objectives.traffic import Availability, Latency, Recovery
from harness.objectives.volumes import AttachedOnce

attached_once = AttachedOnce
availability = Availability
denied = Denied
drained = Drained
latency = Latency
ready = Ready
recovery = Recovery
refused = Refused
restarts = Restarts
rollout = Rollout
self_healing = SelfHealing

SERVES = (
    availability(at_least=0.99, during="fault"),
    availability(at_least=0.99, during="recovered"),
    recovery(within="readiness + 5s"),
)
"""What is asked wherever a subject should go on serving: under the fault and after it."""

__all__ = [
    "SERVES",
    "attached_once",
    "availability",
    "denied",
    "drained",
    "latency",
    "ready",
    "recovery",
    "refused",
    "restarts",
    "rollout",
    "self_healing",
]
