"""Objectives on what Kubernetes does by itself: a rollout that completes, pods that come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from harness.declare import Declared, Exposure, Finding, Scope, register
from harness.history.facts import Facts, Json
from harness.history.history import History
from harness.history.records import SECOND, Window
from harness.objectives.bounds import check_bound, scaled_bound_seconds

_LASTS = 3 * SECOND
"""A return to readiness that ends within this time was none."""
_KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@register("objective", "rollout")
@dataclass(frozen=True)
class Rollout(Declared):
    """A change of a role's pod template is rolled out completely within a bound.

    Complete as `kubectl rollout status` has it: every replica is of the newest template and
    available, and no other is left. `within` counts from injection; see `recovery` for its words.
    The trial's scale divides it, like the times that it is made of.
    """

    role: str
    within: str = field(kw_only=True)

    scope: ClassVar[Scope] = "namespace"

    def __post_init__(self) -> None:
        check_bound("rollout", self.within)

    def describe(self) -> str:
        """One line for tables."""
        return f"rollout of {self.role} within {self.within}"

    def bound(self, facts: Facts) -> float:
        """The bound in seconds."""
        return scaled_bound_seconds(self.within, facts, self.role)

    def judge(self, history: History) -> Finding:
        """Met when complete; broken when the deployment gives up or the bound has passed."""
        window = _until_heal(history)
        if window is None:
            return Finding("open", f"no rollout of {self.role} yet")
        deadline = window.begin + int(self.bound(history.facts) * SECOND)
        before: Json | None = None
        for t, workload in _workload_states(history, self.role):
            if t < window.begin or before is None:
                before = workload
                continue
            if t > deadline or not window.holds(t):
                break
            after = f"{(t - window.begin) / SECOND:.0f} s"
            if _changed(before, workload) and _complete(workload):
                return Finding("met", f"rollout of {self.role} complete after {after}", t)
            if _changed(before, workload) and (why := _gave_up(workload)):
                return Finding("broken", f"rollout of {self.role} gave up after {after}: {why}", t)
        if deadline < (window.end or history.now):
            return Finding("broken", self._late(history, deadline), deadline)
        return Finding("open", f"rollout of {self.role} goes on", before_heal=True)

    def control(self, history: History) -> Finding:
        """Nothing is rolled out in the control run."""
        return Finding("met", "nothing to roll out")

    def exposure(self, facts: Facts) -> Exposure | None:
        """It ends with the rollout itself."""
        return None

    def _late(self, history: History, deadline: int) -> str:
        bound = self.bound(history.facts)
        state: Json = {}
        for t, workload in _workload_states(history, self.role):
            if t <= deadline:
                state = workload
        status, wanted = state.get("status", {}), state.get("spec", {}).get("replicas", 1)
        newest = min(status.get("updatedReplicas", 0), wanted)
        return (
            f"rollout of {self.role} not complete after {bound:.0f} s: {newest} of {wanted} "
            f"replicas of the new template, {status.get('unavailableReplicas', 0)} unavailable"
        )


@register("objective", "self-healing")
@dataclass(frozen=True)
class SelfHealing(Declared):
    """All replicas of a role are ready again within a bound of the injection, before any healing.

    `within` counts from injection; see `recovery` for its words. The trial's scale
    divides it, like the times that it is made of.
    """

    role: str
    within: str = field(kw_only=True)

    scope: ClassVar[Scope] = "namespace"

    def __post_init__(self) -> None:
        check_bound("self-healing", self.within)

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.role} ready again by itself within {self.within}"

    def bound(self, facts: Facts) -> float:
        """The bound in seconds."""
        return scaled_bound_seconds(self.within, facts, self.role)

    def judge(self, history: History) -> Finding:
        """Met at the return after a loss; without any loss at the bound; else broken there."""
        window = _until_heal(history)
        if window is None:
            return Finding("open", f"nothing yet to lose a pod of {self.role}")
        replicas = history.facts.role(self.role).replicas
        deadline = window.begin + int(self.bound(history.facts) * SECOND)
        inside = [
            (t, ready)
            for t, ready in history.ready_series(self.role)
            if window.holds(t) and t <= deadline
        ]
        lost = [t for t, ready in inside if ready < replicas]
        for t, ready in inside:
            lasts = not any(t < later <= t + _LASTS for later in lost)
            if lost and t > lost[0] and ready >= replicas and lasts and history.now >= t + _LASTS:
                text = f"{self.role} was ready again by itself after {_after(window, t)} s"
                return Finding("met", text, t)
        if deadline + _LASTS >= (window.end or history.now):
            return Finding("open", f"{self.role} not back yet", before_heal=True)
        if not lost:
            return Finding("met", f"no pod of {self.role} was ever unready", deadline)
        ready = history.ready_at(self.role, deadline)
        return Finding(
            "broken",
            f"{ready} of {replicas} pods of {self.role} ready {_after(window, deadline)} s after "
            f"{history.trial.get('onset', 'the fault')}, and nothing brought the rest back",
            deadline,
        )

    def control(self, history: History) -> Finding:
        """Nothing to come back from in the control run."""
        return Finding("met", "nothing to come back from")

    def exposure(self, facts: Facts) -> Exposure | None:
        """It ends with the return itself."""
        return None


def _until_heal(history: History) -> Window | None:
    """From injection to the begin of the heal: what comes later was not done by the subject."""
    begin, heal = history.injected_at, history.phase("heal")
    return None if begin is None else Window(begin, heal.begin if heal else None)


def _after(window: Window, t: int) -> str:
    return f"{(t - window.begin) / SECOND:.0f}"


def _workload_states(history: History, role: str) -> Iterator[tuple[int, Json]]:
    """(time, object) of each observed state of a role's workloads, in order."""
    facts = history.facts.role(role)
    for record in history.records:
        if record["type"] != "object" or record["kind"] not in _KINDS:
            continue
        meta = record["object"]["metadata"]
        if meta.get("namespace") != facts.namespace or record["verb"] == "DELETED":
            continue
        if f"{record['kind']}/{meta['name']}" in facts.workloads:
            yield record["t"], record["object"]


def _changed(before: Json, now: Json) -> bool:
    was: int = before["metadata"].get("generation", 0)
    generation: int = now["metadata"].get("generation", 0)
    return generation > was


def _complete(workload: Json) -> bool:
    spec, status = workload.get("spec", {}), workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return False
    wanted = spec.get("replicas", status.get("desiredNumberScheduled", 1))
    newest = status.get("updatedReplicas", status.get("updatedNumberScheduled", 0))
    available = status.get("availableReplicas", status.get("numberAvailable", 0))
    return bool(
        newest >= wanted and available >= wanted and status.get("replicas", wanted) == newest
    )


def _gave_up(workload: Json) -> str:
    """What a Deployment says that made no progress in time; empty if it does not say so."""
    status = workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return ""
    for condition in status.get("conditions", []):
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return f"ProgressDeadlineExceeded: {condition.get('message', '')}"
    return ""
