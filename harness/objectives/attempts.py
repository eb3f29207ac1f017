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
        refused = {each.by for each in tried if each.answer == "refused"}
        missing = self._pods(history, tried, end if end is not None else history.now) - refused
        to = f"{len(refused)} of {len(refused | missing)} who tried" if refused else "nobody"
        text = f"refused to {to}: {_what(tried)}"
        if not refused or missing:
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

    def _pods(self, history: History, tried: Sequence[Attempt], t: int) -> set[str]:
        """The role's pods in which it should have been tried; none if it is not tried in pods."""
        found = {pod.name: pod.at(t) for pod in history.pods_of(self.role)}
        if not any(each.by in found for each in tried):
            return set()
        return {name for name, state in found.items() if state and state.ready and not state.ended}


def _what(tried: Sequence[Attempt]) -> str:
    """What was reached for, for the end of a sentence."""
    return ", ".join(dict.fromkeys(each.target for each in tried)) or "anything"
