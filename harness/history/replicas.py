"""How many pods a role should have, how many of them are missing, and which were replaced.

Goes by what the cluster's objects asked for themselves, not by the manifest: an autoscaler may hold
more pods or fewer, and a DaemonSet's number is the cluster's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

from harness.history.history import History
from harness.history.records import SECOND, PodTrack, Restart, Window, in_force

TOLD_S = 2
"""Pods, their owners and nodes are watched apart: within this time all told what they did."""
_TAKEN = ("DeletionByTaintManager", "EvictionByEvictionAPI")
"""Why pods go that have not failed by themselves: their node was lost, or is drained."""
_REVISIONS = ("pod-template-hash", "controller-revision-hash")


def replicas(history: History, role: str, t: int) -> int:
    """How many pods of a role must be ready at a time for none to be missing.

    What its workloads asked for when the fault came, or later if that is less. Where nobody saw
    them ask: as many as were ready when the fault came, or what the manifest says before that.
    """
    return _required(history, role)(t)


def missing_series(history: History, role: str) -> list[tuple[int, int]]:
    """(time, pods of the role that are wanted and not ready) at each change of either."""
    facts = history.facts.role(role)
    required, ready = _required(history, role), history.ready_series(role)
    asked = [t for owner in facts.workloads for t, _ in history.wanted(owner, facts.namespace)]
    times = sorted({*(t for t, _ in ready), *asked})
    return [(t, max(0, required(t) - (in_force(ready, t) or 0))) for t in times]


def _required(history: History, role: str) -> Callable[[int], int]:
    facts, injected = history.facts.role(role), history.injected_at
    series = [history.wanted(owner, facts.namespace) for owner in facts.workloads]
    otherwise = facts.replicas if injected is None else history.ready_at(role, injected)

    def asked(t: int) -> int | None:
        counts = [in_force(each, t) for each in series]
        return sum(filter(None, counts)) if counts and None not in counts else None

    at_injection = None if injected is None else asked(injected)

    def required(t: int) -> int:
        known = [count for count in (asked(t), at_injection) if count is not None]
        return min(known, default=otherwise)

    return required


def replaced(history: History, role: str, window: Window) -> list[Restart]:
    """Pods that were taken away although they were wanted, each told `TOLD_S` after its successor.

    A successor has the same owner and template, and was not asked for by a larger number of pods.
    What a rollout replaces has another template; what a lost node or a drain took has not failed.
    """
    end = history.now if window.end is None else window.end
    by_owner: defaultdict[str | None, list[PodTrack]] = defaultdict(list)
    for pod in history.pods_of(role):
        by_owner[pod.owner].append(pod)
    found: list[Restart] = []
    for owner, pods in by_owner.items():
        asked = history.wanted(owner or "", pods[0].namespace)
        gone = [(t, pod) for pod in pods for t in _end(pod) if window.holds(t)]
        grown = 0
        for new in sorted(pods, key=lambda pod: pod.states[0].t):
            t = new.states[0].t
            told = t + TOLD_S * SECOND
            if not window.holds(t) or told > end:
                continue
            if grown < _growth(asked, window.begin, told):
                grown += 1
                continue
            old = next((pod for when, pod in gone if when <= t and _alike(pod, new)), None)
            if old is not None:
                gone = [each for each in gone if each[1] is not old]
                found.append(Restart(told, old.name, old.uid, "", None, f"replaced by {new.name}"))
    return sorted(found, key=lambda each: each.t)


def _end(pod: PodTrack) -> list[int]:
    """When the pod ended, in a list; nothing for one that lives, or that was taken away."""
    if any(state.disruption in _TAKEN for state in pod.states):
        return []
    return [state.t for state in pod.states if state.ended][:1]


def _growth(asked: Sequence[tuple[int, int]], begin: int, until: int) -> int:
    """By how many pods a number grew between two times, leaving out by how many it shrank."""
    steps = [in_force(asked, begin) or 0, *(n for t, n in asked if begin < t <= until)]
    return sum(max(0, later - earlier) for earlier, later in pairwise(steps))


def _alike(old: PodTrack, new: PodTrack) -> bool:
    return all(old.labels.get(name) == new.labels.get(name) for name in _REVISIONS)
