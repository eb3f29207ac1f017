"""Objectives on what must not come in at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.declare import Declared, Exposure, Finding, Scope, register
from harness.history.facts import Facts, FaultFacts
from harness.history.history import History
from harness.history.records import Window
from harness.objectives.observed import PODS

_GUARDS = (
    "exceeded quota",
    "failed quota",
    "violates PodSecurity",
    "ValidatingAdmissionPolicy",
    "denied the request",
    "per Container is",
    "per Pod is",
)
"""How quotas, Pod Security, policies, webhooks and limit ranges begin to say no to a pod."""


@register("objective", "denied")
@dataclass(frozen=True)
class Denied(Declared):
    """The cluster lets in no pod of a role, and says so: somebody guards the namespace.

    A quota, a policy or Pod Security refuses the object itself (an `answer` record) or its pods
    (a `FailedCreate` event). A cluster that cannot make a pod for another reason denies nothing.
    Broken by the first pod that was let in.
    """

    role: str

    scope: ClassVar[Scope] = "namespace"
    watches: ClassVar[tuple[str, ...]] = PODS

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.role} is not let in"

    def judge(self, history: History) -> Finding:
        """Met at the heal, if somebody was heard to refuse and no pod was there until then."""
        if history.injected_at is None:
            return Finding("open", f"nothing of {self.role} came yet")
        heal = history.phase("heal")
        window = Window(history.injected_at, heal.begin if heal else None)
        for pod in history.pods_of(self.role):
            if window.holds(let_in := pod.states[0].t):
                return Finding("broken", f"{pod.name} was let in", let_in, at_any_speed=True)
        said = self._refusal(history, window)
        if said is None:
            return Finding("open", f"nobody said that {self.role} is refused", before_heal=True)
        if heal is None:
            return Finding("open", said, holds=True)
        return Finding("met", said, heal.begin)

    def control(self, history: History) -> Finding:
        """Nothing of the role may be there before it comes."""
        begun = history.injected_at
        if any(begun is None or pod.states[0].t < begun for pod in history.pods_of(self.role)):
            return Finding("broken", f"{self.role} has pods before anything was released")
        return Finding("met", f"no pod of {self.role} yet")

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """A refusal takes no time."""
        return None

    def _refusal(self, history: History, window: Window) -> str | None:
        for answer in history.answers_on(self.role):
            if answer.stage == "admission":
                return f"{answer.of} refused: {answer.message}"
        for event in history.events_on(self.role, reason="FailedCreate", window=window):
            if any(words in event.message for words in _GUARDS):
                return f"{event.name}: {event.message}"
        return None
