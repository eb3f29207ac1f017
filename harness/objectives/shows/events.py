"""What Kubernetes told: events, probes that failed, conditions of workloads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

from harness.declare import Sighting, register
from harness.errors import UsageError
from harness.history.history import History
from harness.history.records import Window, unix_seconds
from harness.objectives.shows.observable import Watched, after

Probe = Literal["liveness", "readiness", "startup"]
WARNINGS_OF_A_POD = 25
"""So many events of one type about one object a source sends, then one in five minutes
(client-go, `EventSourceObjectSpamFilter`)."""
_KUBELET_WARNINGS = (
    "BackOff",
    "Evicted",
    "Failed",
    "FailedMount",
    "FailedPostStartHook",
    "FailedPreStopHook",
    "FailedSync",
    "Unhealthy",
)
"""Reasons of those; `Killing` and the like are of type Normal and counted apart."""


@register("shows", "event")
@dataclass(frozen=True)
class Event(Watched):
    """A Kubernetes Event with this reason on the role, its message containing `message`.

    A kubelet's warnings of a pod are limited: ask for a failed probe with `ProbeFailed`.
    """

    reason: str
    on: str = field(default="workload", kw_only=True)
    message: str = field(default="", kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        text = f"event {self.reason} on {self.on}"
        return f"{text} ({self.message})" if self.message else text

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first matching event since injection."""
        for e in history.events_on(
            self.on, reason=self.reason, message=self.message, window=window
        ):
            return Sighting(e.t, f"{e.reason} on {e.name} {after(history, e.t)}: {e.message}")
        return None

    def hidden(self, history: History) -> str:
        """A kubelet that has sent all its warnings of a pod sends none of these either."""
        if self.reason not in _KUBELET_WARNINGS:
            return ""
        for pod in history.pods_of(self.on):
            sent: dict[tuple[str, str], int] = {}
            for e in history.events:
                if e.object_uid == pod.uid and e.source == "kubelet" and e.type == "Warning":
                    sent[e.reason, e.message] = e.count
            if sum(sent.values()) >= WARNINGS_OF_A_POD:
                most = Counter(sent).most_common(1)[0][0][0]
                return (
                    f"the kubelet had sent all the {WARNINGS_OF_A_POD} warnings that it allows "
                    f"itself for {pod.name}, most of them {most}, so it may have been held back"
                )
        return ""


@register("shows", "logged")
@dataclass(frozen=True)
class Logged(Watched):
    """The last words of a container of the role that ended contain `text`."""

    text: str
    on: str = field(default="workload", kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.text!r} in the log of a container of {self.on} that ended"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first log that has it."""
        pods = {pod.name for pod in history.pods_of(self.on)}
        for record in history.records:
            if record["type"] != "log" or not window.holds(record["t"]):
                continue
            lines = [line for line in record["text"].splitlines() if self.text in line]
            if lines and record["pod"] in pods:
                return Sighting(
                    record["t"], f"{record['pod']} {after(history, record['t'])}: {lines[-1]}"
                )
        return None


@register("shows", "probe-failed")
@dataclass(frozen=True)
class ProbeFailed(Watched):
    """A probe (`liveness`, `readiness`, `startup`) of the role's pods failed.

    Seen by an `Unhealthy` event or by the kubelet's own count, whichever comes first: of a pod that
    had a hard start, the events may have run out (25, then one in five minutes).
    """

    on: str
    probe: Probe

    def __post_init__(self) -> None:
        if self.probe not in get_args(Probe):
            raise UsageError(
                f"no probe is called {self.probe!r}",
                remedy=f"choose one of {', '.join(get_args(Probe))}",
            )

    def describe(self) -> str:
        """One line for tables."""
        return f"a failed {self.probe} probe of {self.on}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first failure since injection."""
        message = f"{self.probe.capitalize()} probe failed"
        told = Event("Unhealthy", on=self.on, message=message).seen_in(window, history)
        counted = self._counted(window, history)
        return min((s for s in (told, counted) if s), key=lambda s: s.at, default=None)

    def _counted(self, window: Window, history: History) -> Sighting | None:
        pods = {pod.uid for pod in history.pods_of(self.on)}
        for r in history.samples(f"failed_{self.probe}_probes"):
            # Grown since a reading that was taken after injection, too: not by what was before.
            grown = r["since"] is not None and r["since"] >= window.begin
            if grown and window.holds(r["t"]) and r["pod_uid"] in pods:
                text = f"{r['value']} failed {self.probe} probes of {r['pod']} counted"
                return Sighting(r["t"], f"{text} {after(history, r['t'])}")
        return None


@register("shows", "condition")
@dataclass(frozen=True)
class Condition(Watched):
    """A condition of the role's workload has this reason, such as `ProgressDeadlineExceeded`."""

    on: str
    type: str = field(kw_only=True)
    reason: str = field(kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.on} has condition {self.type} because of {self.reason}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first such state since injection."""
        facts = history.facts.role(self.on)
        for record in history.records:
            if record["type"] != "object" or not window.holds(record["t"]):
                continue
            obj = record["object"]
            meta = obj["metadata"]
            name = f"{record['kind']}/{meta.get('name')}"
            if name not in facts.workloads or meta.get("namespace") != facts.namespace:
                continue
            for each in obj.get("status", {}).get("conditions", []):
                if (each.get("type"), each.get("reason")) != (self.type, self.reason):
                    continue
                changed = each.get("lastUpdateTime") or each.get("lastTransitionTime")
                if not history.predates(unix_seconds(changed)):
                    when = after(history, record["t"])
                    return Sighting(record["t"], f"{name} {when}: {each.get('message', '')}")
        return None
