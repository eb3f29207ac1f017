"""Objectives on what requests experience: availability, latency, recovery.

Times count from the *intended* start of a request, so that a stall is not hidden by a client that
waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.declare import Declared, Exposure, Facts, Finding, Scope, register
from harness.history import SECOND, History, Window
from harness.units import resolve, seconds

During = Literal["fault", "recovered", "all"]

RECOVERED_S = 5.0
"""Length of the window `recovered`, which begins when the role is ready and requests succeed."""


def window_of(history: History, during: During, role: str) -> Window | None:
    """The stretch that `during` names; None while its begin is not known."""
    if during == "all":
        return history.span("inject", "recover")
    if during == "fault":
        window, healing = history.phase("inject"), history.phase("heal")
        if window is None or window.end is None:
            return None
        return Window(window.end, healing.begin if healing else None)
    begin = history.recovered_at(role)
    return None if begin is None else Window(begin, begin + int(RECOVERED_S * SECOND))


@register("objective", "availability")
@dataclass(frozen=True, kw_only=True)
class Availability(Declared):
    """Successful / intended requests in a stretch of the trial is at least `at_least` (0 to 1).

    `during` is `fault` (from injection to heal), `recovered` (5 s from the first moment after the
    heal at which `role` is fully ready and requests succeed) or `all`.
    """

    at_least: float = 0.99
    during: During = "recovered"
    role: str = "workload"

    scope: ClassVar[Scope] = "namespace"

    def describe(self) -> str:
        """One line for tables."""
        return f"availability at least {self.at_least:.0%} ({self.during})"

    def judge(self, history: History) -> Finding:
        """Decided when every request of the stretch has its outcome."""
        window = window_of(history, self.during, self.role)
        recover = history.phase("recover")
        ended = recover is not None and recover.closed
        if window is None:
            if ended and self.during == "recovered":
                return Finding(
                    "broken", f"{self.role} did not recover while it was watched", history.now
                )
            return Finding("open", f"{self.during}: not there yet")
        requests = history.requests.between(window.begin, window.end)
        if not window.closed or not (requests.settled or ended):
            return Finding("open", f"{self.during}: {len(requests)} requests so far")
        if not len(requests):
            return Finding("open", f"{self.during}: no request was intended in it")
        got = requests.availability()
        text = f"availability {got:.2%} of {len(requests)} requests ({self.during})"
        if got >= self.at_least:
            return Finding("met", text, window.end)
        return Finding("broken", f"{text}, asked {self.at_least:.0%}", window.end)

    def control(self, history: History) -> Finding:
        """The same share asked of the control phase."""
        window = history.phase("control")
        if window is None or not window.closed:
            return Finding("open", "the control run has not ended")
        requests = history.requests.between(window.begin, window.end)
        got = requests.availability() if len(requests) else 0.0
        state: Literal["met", "broken"] = "met" if got >= self.at_least else "broken"
        return Finding(state, f"availability {got:.2%} in the control run", window.end)

    def exposure(self, facts: Facts) -> Exposure | None:
        """The time that a failing readiness probe needs to take a pod out of service."""
        role = facts.roles.get(self.role)
        if role is None or role.readiness_out_s is None:
            return None
        return Exposure(role.readiness_out_s, role.why.get("readiness_out", "readiness"))


@register("objective", "latency")
@dataclass(frozen=True, kw_only=True)
class Latency(Declared):
    """A percentile of the time from intended start to end is at most `at_most`."""

    at_most: str
    percentile: float = 99.0
    during: During = "recovered"
    role: str = "workload"

    # What is judged by latency on a small machine must run alone on it.
    scope: ClassVar[Scope] = "machine"

    def __post_init__(self) -> None:
        seconds(self.at_most)

    def describe(self) -> str:
        """One line for tables."""
        return f"p{self.percentile:g} at most {self.at_most} ({self.during})"

    def judge(self, history: History) -> Finding:
        """Decided when every request of the stretch has its outcome."""
        window = window_of(history, self.during, self.role)
        if window is None or not window.closed:
            return Finding("open", f"{self.during}: not there yet")
        requests = history.requests.between(window.begin, window.end)
        if not len(requests) or not requests.settled:
            return Finding("open", f"{self.during}: requests still in flight")
        return self._compare(requests.percentile(self.percentile), window.end)

    def control(self, history: History) -> Finding:
        """The same bound asked of the control phase."""
        window = history.phase("control")
        if window is None or not window.closed:
            return Finding("open", "the control run has not ended")
        requests = history.requests.between(window.begin, window.end)
        if not len(requests):
            return Finding("broken", "no request in the control run", window.end)
        return self._compare(requests.percentile(self.percentile), window.end)

    def exposure(self, facts: Facts) -> Exposure | None:
        """Latency needs no probe to act: no exposure of its own."""
        return None

    def _compare(self, got: float, at: int | None) -> Finding:
        text = f"p{self.percentile:g} {got:.3f} s ({self.during})"
        if got <= seconds(self.at_most):
            return Finding("met", text, at)
        return Finding("broken", f"{text}, asked {self.at_most}", at)


@register("objective", "recovery")
@dataclass(frozen=True, kw_only=True)
class Recovery(Declared):
    """After the heal, `role` is fully ready and requests succeed again within a bound.

    `within` is a sum of durations and of names whose values come from the manifest: `readiness`
    (one readiness period and timeout), `startup`, `liveness`, `grace`; e.g. "readiness + 5s".
    """

    within: str = "readiness + 5s"
    role: str = "workload"

    scope: ClassVar[Scope] = "namespace"

    def describe(self) -> str:
        """One line for tables."""
        return f"recovery of {self.role} within {self.within}"

    def bound(self, facts: Facts) -> float:
        """The bound in seconds."""
        role = facts.role(self.role)
        return resolve(
            self.within,
            {
                "readiness": role.readiness_back_s or 0.0,
                "startup": role.startup_s or 0.0,
                "liveness": role.liveness_s or 0.0,
                "grace": role.grace_s,
            },
        )

    def judge(self, history: History) -> Finding:
        """Met at the recovery; broken once the bound has passed without it."""
        healed = history.healed_at
        if healed is None:
            return Finding("open", "not healed yet")
        bound = self.bound(history.facts)
        at = history.recovered_at(self.role)
        if at is not None:
            took = (at - healed) / SECOND
            text = f"recovered {took:.1f} s after the heal (bound {bound:.0f} s)"
            return Finding("met" if took <= bound else "broken", text, at)
        deadline = healed + int(bound * SECOND)
        recover = history.phase("recover")
        # A request sent at the deadline is judged over the 3 s that follow, plus its own time.
        if history.requests.complete_until(deadline + 3 * SECOND) or (recover and recover.closed):
            ready = history.ready_at(self.role, deadline)
            replicas = history.facts.role(self.role).replicas
            return Finding(
                "broken",
                f"not recovered {bound:.0f} s after the heal: ready {ready} of {replicas}",
                deadline,
            )
        return Finding("open", "recovering")

    def control(self, history: History) -> Finding:
        """Nothing to recover from in the control run."""
        return Finding("met", "nothing to recover from")

    def exposure(self, facts: Facts) -> Exposure | None:
        """Recovery asks for no exposure of its own."""
        return None
