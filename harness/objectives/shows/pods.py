"""What happened to the pods of a role."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.declare import Sighting, register
from harness.history.history import History
from harness.history.records import SECOND, PodState, Window, unix_seconds
from harness.history.replicas import replicas
from harness.objectives.bounds import bound_seconds, check_bound
from harness.objectives.shows.observable import Watched, after, earliest, until_heal
from harness.units import seconds


@register("shows", "restarts")
@dataclass(frozen=True)
class Restarts(Watched):
    """Container restarts of a role: `at_least` of them, or one of every replica."""

    on: str
    at_least: int = field(default=1, kw_only=True)
    every_replica: bool = field(default=False, kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        if self.every_replica:
            return f"a restart of every replica of {self.on}"
        return f"at least {self.at_least} restarts of {self.on}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The restart that completed what was asked."""
        found = history.restarts(self.on, window)
        wanted = replicas(history, self.on, window.begin)
        pods: set[str] = set()
        for number, restart in enumerate(found, start=1):
            pods.add(restart.pod_uid)
            done = len(pods) >= max(wanted, 1) if self.every_replica else number >= self.at_least
            if done:
                text = f"{number} restarts on {len(pods)} of {wanted} replicas"
                return Sighting(restart.t, f"{text} {after(history, restart.t)}")
        return None


@register("shows", "ready")
@dataclass(frozen=True)
class Ready(Watched):
    """The number of ready pods of a role equals `equals`, `within` this long of injection.

    `within` has the words of objectives, and is shortened by the trial's scale.
    """

    on: str
    equals: int = field(default=0, kw_only=True)
    within: str = field(default="90s", kw_only=True)

    def __post_init__(self) -> None:
        check_bound("ready", self.within)

    def describe(self) -> str:
        """One line for tables."""
        return f"ready = {self.equals} of {self.on} within {self.within}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first moment with that many ready pods."""
        bound = bound_seconds(self.within, history.facts, self.on, since="injection")
        until = window.begin + int(bound * SECOND)
        for t, count in history.ready_series(self.on):
            if window.holds(t) and t <= until and count == self.equals:
                return Sighting(t, f"ready {count} {after(history, t)}")
        return None


@register("shows", "terminated")
@dataclass(frozen=True)
class Terminated(Watched):
    """A container of the role ended with this reason and exit code (None: any)."""

    on: str
    reason: str | None = field(default=None, kw_only=True)
    exit_code: int | None = field(default=None, kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        parts = [self.reason or "", f"exit {self.exit_code}" if self.exit_code is not None else ""]
        return f"a container of {self.on} terminated: {', '.join(p for p in parts if p)}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first such ending since injection."""
        found: list[tuple[int, str]] = []
        for pod in history.pods_of(self.on):
            before: set[str] = set()
            for state in pod.states:
                endings = self._endings(state, history)
                # What had ended before the fault is still told by every later state of the pod.
                new = endings.keys() - before
                before |= endings.keys()
                if new and window.holds(state.t):
                    found.append((state.t, f"{pod.name}/{endings[min(new)]}"))
                    break
        return earliest(found, history)

    def _endings(self, state: PodState, history: History) -> dict[str, str]:
        """The endings since injection that match, by what tells them apart, with the container."""
        out: dict[str, str] = {}
        for name, container in state.containers.items():
            for ended in (container.terminated, container.last_terminated):
                if ended is None or self.reason not in (None, ended.get("reason")):
                    continue
                if history.predates(unix_seconds(ended.get("finishedAt"))):
                    continue
                if self.exit_code in (None, ended.get("exitCode")):
                    which = ended.get("containerID") or ended.get("finishedAt")
                    out[f"{name} {which}"] = name
        return out


@register("shows", "waiting")
@dataclass(frozen=True)
class Waiting(Watched):
    """A container of the role waits for this reason (`CrashLoopBackOff`, `ContainerCreating`)."""

    on: str
    reason: str = field(kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        return f"a container of {self.on} in {self.reason}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first pod state since injection that waits for the reason."""
        found = [
            (state.t, f"{pod.name}/{name}")
            for pod in history.pods_of(self.on)
            for state in pod.states
            for name, container in state.containers.items()
            if window.holds(state.t) and container.waiting == self.reason
        ]
        return earliest(found, history)


@register("shows", "stuck")
@dataclass(frozen=True)
class Stuck(Watched):
    """A pod of the role stays Running, not ready and not restarted for a time: only a human helps.

    `during` is shortened by the trial's scale, like the probes that would have acted in it.
    """

    on: str
    during: str = field(default="60s", kw_only=True)

    def __post_init__(self) -> None:
        seconds(self.during)

    def describe(self) -> str:
        """One line for tables."""
        return f"a pod of {self.on} Running, not ready and not restarted for {self.during}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The moment at which a pod had been stuck for that long."""
        until = until_heal(history)
        length = int(seconds(self.during) / history.facts.scale * SECOND)
        found: list[tuple[int, str]] = []
        for pod in history.pods_of(self.on):
            since: int | None = None
            restarts = 0
            for state in [s for s in pod.states if window.begin <= s.t < until]:
                stuck = state.phase == "Running" and not (state.ready or state.gone)
                if since is not None and (not stuck or state.restarts != restarts):
                    if state.t - since >= length:
                        break
                    since = None
                if stuck and since is None:
                    since, restarts = state.t, state.restarts
            if since is not None and until - since >= length:
                found.append((since + length, f"{pod.name} stuck for {self.during}"))
        return earliest(found, history)


@register("shows", "qos")
@dataclass(frozen=True)
class QosClass(Watched):
    """Every pod of the role that stands after the injection has this `status.qosClass`."""

    on: str
    equals: str = field(default="Guaranteed", kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        return f"QoS class {self.equals} of {self.on}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first pod, if no pod of the role has another class."""
        standing = {
            pod.uid: pod.name
            for pod in history.pods_of(self.on)
            if (state := pod.at(window.begin)) is None or not state.gone
        }
        found: dict[str, tuple[int, str]] = {}
        for record in history.objects("Pod"):
            uid = record["object"]["metadata"].get("uid", "")
            qos = record["object"].get("status", {}).get("qosClass")
            if uid in standing and qos and (window.end is None or record["t"] < window.end):
                found.setdefault(uid, (max(record["t"], window.begin), qos))
        if not found or any(qos != self.equals for _, qos in found.values()):
            return None
        t, uid = min((t, uid) for uid, (t, _) in found.items())
        return Sighting(t, f"{standing[uid]} is {self.equals}")
