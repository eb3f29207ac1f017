"""Objectives on what Kubernetes does by itself: a rollout that completes, pods that come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

from harness.declare import Declared, Exposure, Finding, Scope, register
from harness.history.facts import Facts, FaultFacts, Json
from harness.history.history import History
from harness.history.records import SECOND, Window
from harness.history.replicas import missing_series, replicas
from harness.manifest.rollout import rollout
from harness.objectives.bounds import bound_seconds, check_bound
from harness.objectives.observed import PODS, nobody, until_heal, without_pulls

_LASTS = 3 * SECOND
"""A return to readiness that ends within this time was none."""
_KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@register("objective", "rollout")
@dataclass(frozen=True)
class Rollout(Declared):
    """A change of a role's pod template is rolled out completely within a bound.

    Complete as `kubectl rollout status` has it: every replica is of the newest template and
    available, and no other is left. A workload that is new counts like one that changed, one that
    the cluster refused never gets there. `within` counts from injection; see `recovery` for its
    words. The trial's scale divides it, like the times that it is made of. Image pulls are not
    counted.
    """

    role: str
    within: str = field(kw_only=True)

    scope: ClassVar[Scope] = "namespace"
    watches: ClassVar[tuple[str, ...]] = PODS

    def __post_init__(self) -> None:
        check_bound("rollout", self.within)

    def describe(self) -> str:
        """One line for tables."""
        return f"rollout of {self.role} within {self.within}"

    def bound(self, facts: Facts) -> float:
        """The bound in seconds."""
        return bound_seconds(self.within, facts, self.role, since="injection")

    def judge(self, history: History) -> Finding:
        """Met when complete; broken when the deployment gives up or the bound has passed."""
        window, inject = until_heal(history), history.phase("inject")
        if window is None or inject is None:
            return Finding("open", f"no rollout of {self.role} yet")
        deadline = self._deadline(history, window)
        before: dict[str, Json] = {}
        changed: dict[str, Json] = {}
        states = [*_workload_states(history, self.role), (history.now, "", {})]
        for (t, name, workload), (following, _, _) in pairwise(states):
            if t < window.begin:
                before[name] = workload
            elif not window.holds(t) or t > deadline:
                break
            elif (
                name not in before
                or workload["spec"]["template"] != before[name]["spec"]["template"]
            ):
                changed[name] = workload
                if inject.end is None or following <= inject.end:
                    continue  # somebody else's change, as far as anybody knows
                after = f"{_after(window, t)} s"
                if all(rollout(each).complete for each in changed.values()):
                    return Finding("met", f"rollout of {self.role} complete after {after}", t)
                if why := _gave_up(workload):
                    text = f"rollout of {self.role} gave up after {after}: {why}"
                    return Finding("broken", text, t)
        if refused := _refused(history, self.role):
            return refused
        if not (before or changed):
            return Finding("open", f"nothing of {self.role} was seen to be rolled out", holds=True)
        if deadline < (window.end or history.now):
            return Finding("broken", self._late(history, deadline), deadline)
        return Finding("open", f"rollout of {self.role} goes on", before_heal=True)

    def control(self, history: History) -> Finding:
        """Nothing is rolled out in the control run."""
        return Finding("met", "nothing to roll out")

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """It ends with the rollout itself."""
        return None

    def _deadline(self, history: History, window: Window) -> int:
        length = int(self.bound(history.facts) * SECOND)
        return without_pulls(history, self.role, window.begin, length)

    def _late(self, history: History, deadline: int) -> str:
        bound = self.bound(history.facts)
        state: Json = {}
        for t, _, workload in _workload_states(history, self.role):
            if t <= deadline:
                state = workload
        if not state:
            return f"rollout of {self.role} not complete after {bound:.0f} s: nobody saw it by then"
        so_far = rollout(state)
        unavailable = (state.get("status") or {}).get("unavailableReplicas", 0)
        return (
            f"rollout of {self.role} not complete after {bound:.0f} s: {so_far.done} of "
            f"{so_far.wanted} replicas of the new template, {unavailable} unavailable"
        )


@register("objective", "self-healing")
@dataclass(frozen=True)
class SelfHealing(Declared):
    """All replicas of a role are ready again within a bound of the injection, before any healing.

    `within` counts from injection; see `recovery` for its words. The trial's scale divides it, like
    the times that it is made of. Image pulls are not counted.
    """

    role: str
    within: str = field(kw_only=True)

    scope: ClassVar[Scope] = "namespace"
    watches: ClassVar[tuple[str, ...]] = PODS

    def __post_init__(self) -> None:
        check_bound("self-healing", self.within)

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.role} ready again by itself within {self.within}"

    def bound(self, facts: Facts) -> float:
        """The bound in seconds."""
        return bound_seconds(self.within, facts, self.role, since="injection")

    def judge(self, history: History) -> Finding:
        """Met at the return after a loss, broken at the bound; open where nothing was lost."""
        window = until_heal(history)
        if window is None:
            return Finding("open", f"nothing yet to lose a pod of {self.role}")
        if not history.pods_of(self.role):
            return nobody(self.role)
        length = int(self.bound(history.facts) * SECOND)
        deadline = without_pulls(history, self.role, window.begin, length)
        inside = [
            (t, missing)
            for t, missing in missing_series(history, self.role)
            if window.holds(t) and t <= deadline
        ]
        lost = [t for t, missing in inside if missing]
        for t, missing in inside:
            lasts = not any(t < later <= t + _LASTS for later in lost)
            if lost and t > lost[0] and not missing and lasts and history.now >= t + _LASTS:
                text = f"{self.role} was ready again by itself after {_after(window, t)} s"
                return Finding("met", text, t)
        if deadline + _LASTS >= (window.end or history.now):
            return Finding("open", f"{self.role} not back yet", before_heal=True)
        if not lost:
            return Finding(
                "open", f"no pod of {self.role} was ever unready, so nothing came back", holds=True
            )
        ready = history.ready_at(self.role, deadline)
        wanted = replicas(history, self.role, deadline)
        return Finding(
            "broken",
            f"{ready} of {wanted} pods of {self.role} ready {_after(window, deadline)} s "
            f"after {history.trial.get('onset', 'the fault')}, and nothing brought the rest back",
            deadline,
        )

    def control(self, history: History) -> Finding:
        """Nothing to come back from in the control run."""
        return Finding("met", "nothing to come back from")

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """It ends with the return itself."""
        return None


def _refused(history: History, role: str) -> Finding | None:
    """Broken, where the cluster did not take a release of the role."""
    for answer in history.answers_on(role):
        if not answer.admitted:
            text = f"{answer.of} refused at {answer.stage}: {answer.message}"
            return Finding("broken", text, answer.t)
    return None


def _after(window: Window, t: int) -> str:
    return f"{(t - window.begin) / SECOND:.0f}"


def _workload_states(history: History, role: str) -> Iterator[tuple[int, str, Json]]:
    """(time, name, object) of each observed state of a role's workloads, in order."""
    facts = history.facts.role(role)
    for record in history.records:
        if record["type"] != "object" or record["kind"] not in _KINDS:
            continue
        meta = record["object"]["metadata"]
        if meta.get("namespace") != facts.namespace or record["verb"] == "DELETED":
            continue
        name = f"{record['kind']}/{meta['name']}"
        if name in facts.workloads and "template" in record["object"].get("spec", {}):
            yield record["t"], name, record["object"]


def _gave_up(workload: Json) -> str:
    """What a Deployment says that made no progress in time; empty if it does not say so."""
    status = workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return ""
    for condition in status.get("conditions", []):
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return f"ProgressDeadlineExceeded: {condition.get('message', '')}"
    return ""
