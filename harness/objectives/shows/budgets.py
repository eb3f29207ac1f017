"""What a PodDisruptionBudget allows, and evictions that it refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.declare import Sighting, register
from harness.history.facts import Json
from harness.history.history import History
from harness.history.records import SECOND, PodTrack, Window
from harness.manifest.objects import matches
from harness.objectives.shows.observable import Watched, after, earliest
from harness.units import seconds


@register("shows", "budget")
@dataclass(frozen=True)
class Budget(Watched):
    """A PodDisruptionBudget of the role allows so many disruptions while all its pods are healthy.

    One that stands when the fault comes counts.
    """

    on: str
    allows: int = field(kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        return f"a budget of {self.on} with disruptionsAllowed: {self.allows}, all pods healthy"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first such state that was in force since injection."""
        pods = history.pods_of(self.on)
        standing: dict[str, Json] = {}
        for record in history.objects("PodDisruptionBudget"):
            name = record["object"]["metadata"]["name"]
            if record["t"] < window.begin:
                standing[name] = record
            elif window.holds(record["t"]):
                standing.setdefault(f"{name} {record['t']}", record)
        for record in standing.values():
            if record["verb"] != "DELETED" and self._fits(record["object"], pods):
                t = max(record["t"], window.begin)
                name = record["object"]["metadata"]["name"]
                text = f"{name} allows {self.allows} disruptions"
                return Sighting(t, f"{text} {after(history, t)}")
        return None

    def _fits(self, budget: Json, pods: list[PodTrack]) -> bool:
        """As its controller counted last; what it has not seen yet has no status."""
        status, meta = budget.get("status") or {}, budget["metadata"]
        healthy, expected = status.get("currentHealthy", 0), status.get("expectedPods", 0)
        return (
            status.get("disruptionsAllowed") == self.allows
            and healthy >= expected > 0
            and any(
                pod.namespace == meta.get("namespace")
                and matches(budget["spec"].get("selector"), pod.labels)
                for pod in pods
            )
        )


@register("shows", "eviction-refused")
@dataclass(frozen=True)
class EvictionRefused(Watched):
    """The eviction of a pod of the role was refused, and never allowed for a time since.

    `during` is shortened by the trial's scale, like the graces of a drain.
    """

    on: str
    during: str = field(default="0s", kw_only=True)

    def __post_init__(self) -> None:
        seconds(self.during)

    def describe(self) -> str:
        """One line for tables."""
        lasts = f" for {self.during}" if seconds(self.during) else ""
        return f"an eviction of {self.on} refused{lasts}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The refusal with which a pod had been kept that long."""
        length = int(seconds(self.during) / history.facts.scale * SECOND)
        pods = {f"Pod/{pod.name}" for pod in history.pods_of(self.on)}
        since: dict[str, int] = {}
        found: list[tuple[int, str]] = []
        for each in history.attempts:
            if each.name != "evict" or each.target not in pods or not window.holds(each.t):
                continue
            if each.answer == "allowed":
                since.pop(each.target, None)
            elif each.t - since.setdefault(each.target, each.t) >= length:
                found.append((each.t, f"{each.target} {each.code}: {each.text}"))
        return earliest(found, history)
