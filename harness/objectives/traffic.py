"""Objectives on what requests experience: availability, latency, recovery.

Times count from the *intended* start of a request, so that a stall is not hidden by a client that
waits for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, get_args

from harness.declare import Declared, During, Exposure, Finding, Scope, register
from harness.errors import UsageError
from harness.history.facts import Facts, FaultFacts
from harness.history.history import History
from harness.history.outcomes import ENOUGH
from harness.history.records import SECOND, Window
from harness.history.replicas import replicas
from harness.history.requests import Requests
from harness.judgement.recovery import recovered_at
from harness.objectives.bounds import bound_seconds, check_bound
from harness.objectives.observed import PODS, nobody
from harness.units import seconds

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
    begin = recovered_at(history, role)
    return None if begin is None else Window(begin, begin + int(RECOVERED_S * SECOND))


def _not_there(history: History, during: During, role: str) -> Finding:
    """What is said while the begin of a stretch is not known, and when it never came."""
    recover = history.phase("recover")
    if during == "recovered" and history.over and recover is not None:
        text = f"{role} did not recover while it was watched"
        return _unrecovered(history, role, Window(recover.begin, recover.end), text)
    return Finding("open", f"{during}: not there yet")


def _unrecovered(history: History, role: str, after: Window, text: str) -> Finding:
    """Broken, unless too little was seen of the role after the heal to say so."""
    if not history.pods_of(role):
        return nobody(role)
    end = history.now if after.end is None else after.end
    requests = history.requests.between(after.begin, end)
    ready, wanted = history.ready_at(role, end), replicas(history, role, end)
    if ready >= wanted and (few := _too_few(requests, "after the heal")):
        return few
    return Finding("broken", f"{text}: ready {ready} of {wanted}{_what_failed(requests)}", end)


def _requests(history: History, during: During, role: str) -> tuple[Requests, int] | Finding:
    """The requests of a stretch, each with its outcome, and its end; or why they are not there."""
    window = window_of(history, during, role)
    if window is None:
        return _not_there(history, during, role)
    requests = history.requests.between(window.begin, window.end)
    if window.end is None or not requests.settled:
        return Finding("open", f"{during}: {len(requests)} requests so far")
    return _too_few(requests, during) or (requests, window.end)


def _control_requests(history: History) -> tuple[Requests, int] | Finding:
    """The requests of the control run and its end; or why they are not there."""
    window = history.phase("control")
    if window is None or window.end is None:
        return Finding("open", "the control run has not ended")
    requests = history.requests.between(window.begin, window.end)
    if not requests.settled:
        return Finding("open", f"{requests.pending} requests of the control run in flight")
    return _too_few(requests, "control run") or (requests, window.end)


def _too_few(requests: Requests, when: str) -> Finding | None:
    """What is said of a stretch with so few requests that they say nothing, else None."""
    if requests.scheduled >= ENOUGH:
        return None
    text = f"{when}: {requests.scheduled} requests, at least {ENOUGH} are needed to say anything"
    return Finding("open", text, holds=True)


def _what_failed(requests: Requests) -> str:
    """The most frequent failures, for the end of a sentence."""
    failed = requests.failures()
    return f" ({failed})" if failed else ""


def _percent(share: float) -> str:
    return f"{share * 100:g}%"


def _known(during: str) -> None:
    if during not in get_args(During):
        raise UsageError(
            f"no stretch of a trial is called {during!r}",
            remedy=f"choose one of {', '.join(get_args(During))}",
        )


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
    watches: ClassVar[tuple[str, ...]] = PODS

    def __post_init__(self) -> None:
        _known(self.during)
        if not 0 < self.at_least <= 1:
            raise UsageError(
                f"availability of at least {self.at_least!r} cannot be asked",
                remedy="give a share above 0 and at most 1, such as 0.99",
            )

    def describe(self) -> str:
        """One line for tables."""
        return f"availability at least {_percent(self.at_least)} ({self.during})"

    def judge(self, history: History) -> Finding:
        """Decided when every request of the stretch has its outcome."""
        known = _requests(history, self.during, self.role)
        if isinstance(known, Finding):
            return known
        requests, end = known
        got = requests.availability()
        text = f"availability {got:.2%} of {requests.scheduled} requests ({self.during})"
        if got >= self.at_least:
            return Finding("met", text, end)
        failed = _what_failed(requests)
        return Finding("broken", f"{text}, asked {_percent(self.at_least)}{failed}", end)

    def control(self, history: History) -> Finding:
        """The same share asked of the control phase."""
        known = _control_requests(history)
        if isinstance(known, Finding):
            return known
        requests, end = known
        got = requests.availability()
        text = f"availability {got:.2%} in the control run"
        if got >= self.at_least:
            return Finding("met", text, end)
        return Finding("broken", f"{text}{_what_failed(requests)}", end)

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """The time that a failing readiness probe needs to take a pod out of service."""
        role = facts.roles.get(self.role)
        if role is None or role.readiness_out_s is None or not fault.reaches(self.role, facts):
            return None
        return Exposure(role.readiness_out_s, role.why.get("readiness_out_s", "readiness"))


@register("objective", "latency")
@dataclass(frozen=True, kw_only=True)
class Latency(Declared):
    """A percentile of the time from intended start to end is at most `at_most`.

    A request that failed is slower than any that succeeded.
    """

    at_most: str
    percentile: float = 99.0
    during: During = "recovered"
    role: str = "workload"

    # What is judged by latency on a small machine must run alone on it.
    scope: ClassVar[Scope] = "machine"
    watches: ClassVar[tuple[str, ...]] = PODS

    def __post_init__(self) -> None:
        _known(self.during)
        seconds(self.at_most)
        if not 0 < self.percentile <= 100:
            raise UsageError(
                f"there is no percentile {self.percentile!r}",
                remedy="give a percentile above 0 and at most 100, such as 99",
            )

    def describe(self) -> str:
        """One line for tables."""
        return f"p{self.percentile:g} at most {self.at_most} ({self.during})"

    def judge(self, history: History) -> Finding:
        """Decided when every request of the stretch has its outcome."""
        known = _requests(history, self.during, self.role)
        return known if isinstance(known, Finding) else self._compare(*known)

    def control(self, history: History) -> Finding:
        """The same bound asked of the control phase."""
        known = _control_requests(history)
        return known if isinstance(known, Finding) else self._compare(*known)

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """Latency needs no probe to act: no exposure of its own."""
        return None

    def _compare(self, requests: Requests, at: int) -> Finding:
        got = requests.percentile(self.percentile)
        if math.isinf(got):
            failed = requests.scheduled - int(requests.ok.sum())
            text = f"{failed} of {requests.scheduled} requests failed ({self.during})"
            what = f"so there is no p{self.percentile:g}{_what_failed(requests)}"
            return Finding("broken", f"{text}, {what}", at)
        text = f"p{self.percentile:g} {got:.3f} s ({self.during})"
        if got <= seconds(self.at_most):
            return Finding("met", text, at)
        return Finding("broken", f"{text}, asked {self.at_most}", at)


@register("objective", "recovery")
@dataclass(frozen=True, kw_only=True)
class Recovery(Declared):
    """After the heal, `role` is fully ready and requests succeed again within a bound.

    `within` is a sum of durations and of names whose values come from the manifest: `readiness`
    (until a pod that answers again is back), `readiness-out`, `startup`, `liveness`, `grace`; e.g.
    "readiness + 5s".
    """

    within: str = "readiness + 5s"
    role: str = "workload"

    scope: ClassVar[Scope] = "namespace"
    watches: ClassVar[tuple[str, ...]] = PODS

    def __post_init__(self) -> None:
        check_bound("recovery", self.within)

    def describe(self) -> str:
        """One line for tables."""
        return f"recovery of {self.role} within {self.within}"

    def bound(self, facts: Facts) -> float:
        """The bound in seconds."""
        return bound_seconds(self.within, facts, self.role, since="heal")

    def judge(self, history: History) -> Finding:
        """Met at the recovery; broken once the bound has passed without it."""
        healed = history.healed_at
        if healed is None:
            return Finding("open", "not healed yet")
        bound = self.bound(history.facts)
        deadline = healed + int(bound * SECOND)
        at = recovered_at(history, self.role)
        if at is not None:
            text = f"recovered {(at - healed) / SECOND:.1f} s after the heal (bound {bound:.0f} s)"
            return Finding("met", text, at) if at <= deadline else Finding("broken", text, deadline)
        # A request sent at the deadline is judged over the 3 s that follow, plus its own time.
        if history.requests.complete_until(deadline + 3 * SECOND) or history.over:
            text = f"not recovered {bound:.0f} s after the heal"
            return _unrecovered(history, self.role, Window(healed, deadline), text)
        return Finding("open", "recovering")

    def control(self, history: History) -> Finding:
        """Nothing to recover from in the control run."""
        return Finding("met", "nothing to recover from")

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """Recovery asks for no exposure of its own."""
        return None
