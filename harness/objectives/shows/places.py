"""Pods and volumes that are on the wrong node."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.declare import Sighting, register
from harness.history.history import History
from harness.history.records import SECOND, Window
from harness.objectives.shows.observable import Watched, after, until_heal
from harness.objectives.volumes import volume_states
from harness.units import seconds


@register("shows", "stranded")
@dataclass(frozen=True)
class Stranded(Watched):
    """A pod of the role stays bound to a node that is not Ready for a time; nobody deletes it.

    `during` is not shortened: Kubernetes' timers for nodes are at their defaults in every trial.
    """

    on: str
    during: str = field(default="30s", kw_only=True)

    def __post_init__(self) -> None:
        seconds(self.during)

    def describe(self) -> str:
        """One line for tables."""
        return f"a pod of {self.on} left on a lost node for {self.during}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The moment at which a pod had been left there for that long."""
        until = until_heal(history)
        length = int(seconds(self.during) * SECOND)
        for pod in history.pods_of(self.on):
            kept = [s.t for s in pod.states if not (s.deleting or s.gone)]
            given_up = [s.t for s in pod.states if s.deleting or s.gone]
            for lost, back in self._losses(history, pod.node):
                since = max(lost, window.begin, min(kept, default=until))
                t = since + length
                if t <= min([until, back or until, *given_up]):
                    text = f"{pod.name} still bound to {pod.node}, not Ready for {self.during},"
                    return Sighting(t, f"{text} {after(history, t)}")
        return None

    def _losses(self, history: History, node: str | None) -> list[tuple[int, int | None]]:
        """When the node was not Ready: from when until when, None if it never came back."""
        losses: list[tuple[int, int | None]] = []
        since: int | None = None
        for record in history.objects("Node"):
            if record["object"]["metadata"]["name"] != node:
                continue
            conditions = record["object"].get("status", {}).get("conditions", [])
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            if not ready and since is None:
                since = record["t"]
            if ready and since is not None:
                losses.append((since, record["t"]))
                since = None
        return losses if since is None else [*losses, (since, None)]


@register("shows", "attached-elsewhere")
@dataclass(frozen=True)
class AttachedElsewhere(Watched):
    """A pod of the role waits on one node while its volume is attached to another one."""

    on: str

    def describe(self) -> str:
        """One line for tables."""
        return f"a volume of {self.on} attached to another node than its new pod's"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first such moment since injection."""
        for state in volume_states(history, self.on):
            for pod in state.waiting if window.holds(state.t) else ():
                for volume in sorted(pod.volumes):
                    others = state.attached.get(volume, frozenset()) - {pod.node}
                    if others:
                        when = after(history, state.t)
                        text = f"{volume} attached to {min(others)}, {pod.pod} is on {pod.node}"
                        return Sighting(state.t, f"{text} {when}")
        return None
