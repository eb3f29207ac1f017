"""Objectives on pods: restarts and readiness. What requests experience is in `traffic`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

from harness.declare import Declared, Exposure, Finding, Scope, register
from harness.history.facts import Facts, FaultFacts
from harness.history.history import History
from harness.history.records import SECOND, Restart, Window
from harness.history.replicas import replaced, replicas
from harness.judgement.recovery import recovered_at
from harness.objectives.observed import PODS, nobody

_NO_PROBE_S = 10.0
"""Exposure where the manifest names no probe at all: two default probe rounds' worth of waiting."""

_ENDINGS = 2
"""Ways in which containers ended that a reason names, the most frequent ones."""


@register("objective", "restarts")
@dataclass(frozen=True)
class Restarts(Declared):
    """No more than `at_most` container restarts of a role between injection and recovery.

    `cures` more are allowed: those by which alone the application can leave what the fault did. A
    pod that was evicted and replaced counts like a restart of its containers.
    """

    role: str
    at_most: int = field(default=0, kw_only=True)
    cures: int = field(default=0, kw_only=True)

    scope: ClassVar[Scope] = "namespace"
    watches: ClassVar[tuple[str, ...]] = PODS

    def describe(self) -> str:
        """One line for tables."""
        cures = f" beside {self.cures} that cure the fault" if self.cures else ""
        return f"at most {self.at_most} restarts of {self.role}{cures}"

    def judge(self, history: History) -> Finding:
        """Broken at the first restart too many; met once recovery is over."""
        window = history.watched
        if window is None:
            return Finding("open", f"no fault yet to restart {self.role}")
        seen = self._seen(history, window)
        allowed = self.at_most + self.cures
        if len(seen) > allowed:
            return Finding("broken", self._story(history, window, seen), seen[allowed].t)
        reason = f"{len(seen)} restarts of {self.role}"
        return _undisturbed(history, self.role, reason)

    def control(self, history: History) -> Finding:
        """Broken by any restart while there was no fault."""
        window = history.before
        if window is None:
            return Finding("open", "the control run has not begun")
        seen = self._seen(history, window)
        if seen:
            first = seen[0]
            return Finding("broken", f"{first.pod} restarted ({_ended(first)})", first.t)
        if not history.pods_of(self.role):
            return nobody(self.role)
        return Finding("met", f"0 restarts of {self.role} in the control run", window.end)

    def _seen(self, history: History, window: Window) -> list[Restart]:
        every = [*history.restarts(self.role, window), *replaced(history, self.role, window)]
        return sorted(every, key=lambda restart: restart.t)

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """The time that the role's slowest probe needs to restart a container."""
        if not fault.reaches(self.role, facts):
            return None
        role = facts.role(self.role)
        times = {"liveness_s": role.liveness_s, "readiness_out_s": role.readiness_out_s}
        for name, seconds in times.items():
            if seconds is not None:
                return Exposure(seconds, role.why.get(name, name))
        return Exposure(_NO_PROBE_S, f"{self.role} has no probe")

    def _story(self, history: History, window: Window, seen: list[Restart]) -> str:
        wanted = replicas(history, self.role, window.begin)
        pods = {r.pod_uid for r in seen}
        first = (seen[0].t - window.begin) / SECOND
        onset = history.trial.get("onset", "the fault")
        text = (
            f"{len(pods)} of {wanted} replicas restarted{_cause(history, seen)}, "
            f"first {first:.0f} s after {onset}"
        )
        points = _ready_within(history, self.role, window)
        when, lowest = min(points, key=lambda point: point[1])
        if lowest < wanted:
            text += f"; ready {lowest} of {wanted} at {(when - window.begin) / SECOND:.0f} s"
        return text


@register("objective", "ready")
@dataclass(frozen=True)
class Ready(Declared):
    """At least `at_least` pods of a role are ready at every moment from injection to recovery."""

    role: str
    at_least: int = field(default=1, kw_only=True)

    scope: ClassVar[Scope] = "namespace"
    watches: ClassVar[tuple[str, ...]] = PODS

    def describe(self) -> str:
        """One line for tables."""
        return f"at least {self.at_least} pods of {self.role} ready throughout"

    def judge(self, history: History) -> Finding:
        """Broken at the first moment with too few ready pods."""
        window = history.watched
        if window is None:
            return Finding("open", "no fault yet")
        if not history.pods_of(self.role):
            return nobody(self.role)
        for t, count in _ready_within(history, self.role, window):
            if count < self.at_least:
                after = (t - window.begin) / SECOND
                onset = history.trial.get("onset", "the fault")
                return Finding(
                    "broken", f"{count} pods of {self.role} ready {after:.0f} s after {onset}", t
                )
        reason = f"never fewer than {self.at_least} pods of {self.role} ready"
        return _undisturbed(history, self.role, reason)

    def control(self, history: History) -> Finding:
        """Broken if too few pods were ready at any moment of the control run."""
        control, window = history.phase("control"), history.before
        if window is None or control is None or not control.closed:
            return Finding("open", "the control run has not ended")
        if not history.pods_of(self.role):
            return nobody(self.role)
        count = min(count for _, count in _ready_within(history, self.role, window))
        text = f"{count} pods of {self.role} ready in the control run"
        return Finding("met" if count >= self.at_least else "broken", text, control.end)

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """The time that a failing readiness probe needs to remove a pod."""
        if not fault.reaches(self.role, facts):
            return None
        role = facts.role(self.role)
        if role.readiness_out_s is None:
            return Exposure(_NO_PROBE_S, f"{self.role} has no readiness probe")
        return Exposure(role.readiness_out_s, role.why.get("readiness_out_s", "readiness"))


def _undisturbed(history: History, role: str, reason: str) -> Finding:
    """What is said as long as nothing broke: met only when recovery was watched to its end."""
    window = history.watched
    if not history.pods_of(role):
        return nobody(role)
    if history.over and window is not None:
        return Finding("met", reason, window.end)
    return Finding("open", reason, holds=recovered_at(history, role) is not None)


def _ready_within(history: History, role: str, window: Window) -> list[tuple[int, int]]:
    """(time, ready pods): how many at the window's begin, then at each change in it."""
    inside = [(t, n) for t, n in history.ready_series(role) if t > window.begin and window.holds(t)]
    return [(window.begin, history.ready_at(role, window.begin)), *inside]


def _cause(history: History, seen: list[Restart]) -> str:
    """ " by liveness" and the like, if one cause explains every restart; else how they ended.

    One cause may end in several ways: containerd calls a process that the kernel killed for its
    memory `Error` where it learns of its end before it learns why.
    """
    begin = history.injected_at or 0
    killed, startup = (
        {
            e.object_uid
            for e in history.events
            if e.reason == "Killing" and f"failed {probe} probe" in e.message and e.t >= begin
        }
        for probe in ("liveness", "startup")
    )
    pods = {r.pod_uid for r in seen}
    endings = Counter(_ended(r) for r in seen)
    # A probe that fails while the kernel kills the process again and again is not the cause.
    if not any(r.reason == "OOMKilled" for r in seen):
        if pods <= killed:
            return " by liveness"
        if pods <= startup:
            return " by the startup probe"
    return f" ({'; '.join(ending for ending, _ in endings.most_common(_ENDINGS))})"


def _ended(restart: Restart) -> str:
    if not restart.container:
        return restart.reason or "replaced"
    code = "exit code unknown" if restart.exit_code is None else f"exit {restart.exit_code}"
    return f"{restart.reason}, {code}" if restart.reason else code
