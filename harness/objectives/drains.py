"""Whether a node that is to be emptied gets empty."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from harness.declare import Declared, Exposure, Finding, Scope, register
from harness.history.facts import Facts, FaultFacts
from harness.history.history import History
from harness.history.records import SECOND, PodTrack, Window
from harness.history.replicas import TOLD_S
from harness.objectives.bounds import bound_seconds, check_bound
from harness.objectives.observed import PODS, nobody, until_heal


@register("objective", "drained")
@dataclass(frozen=True)
class Drained(Declared):
    """The nodes of a role that were cordoned are rid of its pods within a bound of the injection.

    A pod that is being deleted is still there. `within` has the words of `recovery`; the trial's
    scale divides it, like the graces that it is made of.
    """

    role: str
    within: str = field(default="grace + 60s", kw_only=True)

    scope: ClassVar[Scope] = "node"
    watches: ClassVar[tuple[str, ...]] = (*PODS, "Node")

    def __post_init__(self) -> None:
        check_bound("drained", self.within)

    def describe(self) -> str:
        """One line for tables."""
        return f"nodes of {self.role} drained within {self.within}"

    def bound(self, facts: Facts) -> float:
        """The bound in seconds."""
        return bound_seconds(self.within, facts, self.role, since="injection")

    def judge(self, history: History) -> Finding:
        """Met when the last pod is gone from the cordoned nodes, broken at the bound."""
        window, inject = until_heal(history), history.phase("inject")
        if window is None or inject is None or inject.end is None:
            return Finding("open", f"no node of {self.role} to drain yet")
        if not history.pods_of(self.role):
            return nobody(self.role)
        if history.now < inject.end + TOLD_S * SECOND:
            return Finding("open", f"the drain of {self.role} begins", before_heal=True)
        there = self._on_cordoned(history, window)
        if not there:
            text = f"no node with a pod of {self.role} was cordoned, so none was drained"
            return Finding("open", text, holds=True)
        deadline = window.begin + int(self.bound(history.facts) * SECOND)
        until = deadline if window.end is None else min(deadline, window.end)
        left = [pod for pod in there if (t := _gone(pod)) is None or t > until]
        if not left:
            last = max(t for pod in there if (t := _gone(pod)) is not None)
            after = f"{(last - window.begin) / SECOND:.0f} s"
            return Finding("met", f"nodes of {self.role} drained after {after}", last)
        where = ", ".join(f"{pod.name} on {pod.node}" for pod in left)
        if deadline < (window.end or history.now):
            after = f"{(deadline - window.begin) / SECOND:.0f} s"
            return Finding("broken", f"not drained after {after}: {where}", deadline)
        return Finding("open", f"not drained yet: {where}", before_heal=True)

    def control(self, history: History) -> Finding:
        """Nothing is drained in the control run."""
        return Finding("met", "nothing to drain")

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """It ends with the drain itself."""
        return None

    def _on_cordoned(self, history: History, window: Window) -> list[PodTrack]:
        """The role's pods of the injection that were on nodes which were cordoned since."""
        nodes = {
            record["object"]["metadata"]["name"]
            for record in history.objects("Node")
            if window.holds(record["t"]) and record["object"]["spec"].get("unschedulable")
        }
        return [
            pod
            for pod in history.pods_of(self.role)
            if pod.node in nodes and (state := pod.at(window.begin)) and not state.gone
        ]


def _gone(pod: PodTrack) -> int | None:
    """When the pod was gone for good."""
    return next((state.t for state in pod.states if state.gone), None)
