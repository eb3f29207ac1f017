"""What a variant must show to have failed, or survived, for the stated reason.

Each class answers with the first place in the history where it was seen. An event's absence is
never evidence, so nothing here asks that something was *not* seen.
"""

from __future__ import annotations

from harness.objectives.shows.attempts import Allowed, Refused
from harness.objectives.shows.budgets import Budget, EvictionRefused
from harness.objectives.shows.events import Condition, Event, Logged, ProbeFailed
from harness.objectives.shows.places import AttachedElsewhere, Stranded
from harness.objectives.shows.pods import QosClass, Ready, Restarts, Stuck, Terminated, Waiting
from harness.objectives.shows.requests import FailedRequests

allowed = Allowed
attached_elsewhere = AttachedElsewhere
budget = Budget
condition = Condition
event = Event
eviction_refused = EvictionRefused
failed_requests = FailedRequests
logged = Logged
probe_failed = ProbeFailed
qos = QosClass
ready = Ready
refused = Refused
restarts = Restarts
stranded = Stranded
stuck = Stuck
terminated = Terminated
waiting = Waiting

__all__ = [
    "allowed",
    "attached_elsewhere",
    "budget",
    "condition",
    "event",
    "eviction_refused",
    "failed_requests",
    "logged",
    "probe_failed",
    "qos",
    "ready",
    "refused",
    "restarts",
    "stranded",
    "stuck",
    "terminated",
    "waiting",
]
