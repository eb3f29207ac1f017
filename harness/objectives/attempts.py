"""Objectives on attempts: what somebody reached for, and whether it was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.declare import Declared, Exposure, Finding, Scope, register
from harness.history.facts import Facts, FaultFacts
from harness.history.history import History
from harness.history.records import Attempt, Window
from harness.objectives.observed import PODS


def attempts_on(history: History, role: str, window: Window) -> Iterator[Attempt]:
    """What was tried on a role in a stretch, without what is permitted."""
    for attempt in history.attempts:
        if attempt.role == role and not attempt.permitted and window.holds(attempt.t):
            yield attempt


@register("objective", "refused")
@dataclass(frozen=True)
class Refused(Declared):
    """Whatever is tried on a role is refused, once at least, and never allowed. What is tried in
    its pods, in each that was ready to the end. Silence is no refusal."""

    role: str

    scope: ClassVar[Scope] = "namespace"
    watches: ClassVar[tuple[str, ...]] = PODS

    def describe(self) -> str:
        """One line for tables."""
        return f"every attempt on {self.role} refused"

    def judge(self, history: History) -> Finding:
        """Broken at the first attempt that was allowed; met at the heal, if all was refused."""
        injected, heal = history.injected_at, history.phase("heal")
        if injected is None:
            return Finding("open", f"nothing was tried on {self.role} yet")
        end = heal.begin if heal is not None else None
        tried = list(attempts_on(history, self.role, Window(injected, end)))
        allowed = next((each for each in tried if each.answer == "allowed"), None)
        if allowed is not None:
            text = f"{allowed.target} was not refused to {allowed.by}: {allowed.text}"
            return Finding("broken", text, allowed.t, at_any_speed=True)
        refused = {(each.by, each.target) for each in tried if each.answer == "refused"}
        wanted = self._wanted(history, tried, end if end is not None else history.now)
        text = f"{len(refused)} of {len(wanted | refused)} attempts refused"
        if tried:
            text += f": {', '.join(dict.fromkeys(each.target for each in tried))}"
        if not refused or wanted - refused:
            return Finding("open", text, before_heal=True)
        if end is None:
            return Finding("open", text, holds=True)
        return Finding("met", text, end)

    def control(self, history: History) -> Finding:
        """Only what is permitted is tried in the control run."""
        return Finding("met", "nothing was tried")

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """An answer comes at once."""
        return None

    def _wanted(self, history: History, tried: Sequence[Attempt], t: int) -> set[tuple[str, str]]:
        """Who should have been refused what: whoever is there at `t`, of pods; else who tried."""
        found = {pod.name: pod.at(t) for pod in history.pods_of(self.role)}
        there = {name for name, state in found.items() if state and state.ready and not state.ended}
        wanted = {(each.by, each.target) for each in tried if each.by not in found}
        for target in {each.target for each in tried if each.by in found}:
            wanted |= {(pod, target) for pod in there}
        return wanted
