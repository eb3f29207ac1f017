"""What objectives share of looking at a history: what they read, and what is no evidence of theirs.

The kinds here are those of `watches`: where one of them was not watched, nothing was seen.
"""

from __future__ import annotations

from harness.declare import Finding
from harness.history.history import History
from harness.history.records import Window

PODS = ("Pod", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet")
"""Pods, whose they are, and how many of them were asked for."""

_PULL_ENDS = ("Pulled", "Failed")


def nobody(role: str) -> Finding:
    """The answer of an objective on pods that were never seen: no pod has done nothing wrong."""
    return Finding("open", f"no pod of {role} was ever seen", holds=True)


def until_heal(history: History) -> Window | None:
    """From injection to the begin of the heal: what comes later was not done by the subject."""
    begin, heal = history.injected_at, history.phase("heal")
    return None if begin is None else Window(begin, heal.begin if heal else None)


def without_pulls(history: History, role: str, begin: int, length: int) -> int:
    """When a time of `length` (ns) is over, left out what the role's pods spent on image pulls.

    How long an image takes is the network's and the registry's business, not the configuration's.
    """
    end = begin + length
    counted = begin
    for since, until in sorted(_pulls(history, role)):
        since, until = max(since, counted), min(until, history.now)
        if since < min(end, until):
            end += until - since
            counted = until
    return end


def _pulls(history: History, role: str) -> list[tuple[int, int]]:
    """(begin, end) of each image pull of the role's pods, as their events tell it."""
    pods = {pod.uid for pod in history.pods_of(role)}
    begun: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    for event in history.events:
        if event.object_uid not in pods:
            continue
        if event.reason == "Pulling":
            begun.setdefault(event.object_uid, event.t)
        elif event.reason in _PULL_ENDS and event.object_uid in begun:
            found.append((begun.pop(event.object_uid), event.t))
    return [*found, *((since, history.now) for since in begun.values())]
