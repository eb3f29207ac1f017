"""What a variant must show to have failed, or survived, for the stated reason.

Each class answers with the first place in the history where it was seen. An event's absence is
never evidence, so nothing here asks that something was *not* seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.declare import Declared, Sighting, register
from harness.history import SECOND, History, PodState
from harness.objectives.volumes import volume_states
from harness.units import seconds


def _after(history: History, t: int) -> str:
    begin = history.injected_at
    return f"{(t - begin) / SECOND:.0f} s after injection" if begin is not None else "before"


@register("shows", "event")
@dataclass(frozen=True)
class Event(Declared):
    """A Kubernetes Event with this reason on the role, its message containing `message`."""

    reason: str
    on: str = field(default="workload", kw_only=True)
    message: str = field(default="", kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        text = f"event {self.reason} on {self.on}"
        return f"{text} ({self.message})" if self.message else text

    def seen(self, history: History) -> Sighting | None:
        """The first matching event since injection."""
        window = history.watched
        if window is None:
            return None
        for e in history.events_on(
            self.on, reason=self.reason, message=self.message, window=window
        ):
            return Sighting(e.t, f"{e.reason} on {e.name} {_after(history, e.t)}: {e.message}")
        return None


@register("shows", "restarts")
@dataclass(frozen=True)
class Restarts(Declared):
    """Container restarts of a role: `at_least` of them, or one of every replica."""

    on: str
    at_least: int = field(default=1, kw_only=True)
    every_replica: bool = field(default=False, kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        if self.every_replica:
            return f"a restart of every replica of {self.on}"
        return f"at least {self.at_least} restarts of {self.on}"

    def seen(self, history: History) -> Sighting | None:
        """The restart that completed what was asked."""
        window = history.watched
        if window is None:
            return None
        found = history.restarts(self.on, window)
        replicas = history.facts.role(self.on).replicas
        pods: set[str] = set()
        for number, restart in enumerate(found, start=1):
            pods.add(restart.pod_uid)
            done = len(pods) >= replicas if self.every_replica else number >= self.at_least
            if done:
                text = f"{number} restarts on {len(pods)} of {replicas} replicas"
                return Sighting(restart.t, f"{text} {_after(history, restart.t)}")
        return None


@register("shows", "ready")
@dataclass(frozen=True)
class Ready(Declared):
    """The number of ready pods of a role equals `equals`, `within` this long of injection.

    `within` is shortened by the trial's scale, like the probes that it follows from.
    """

    on: str
    equals: int = field(default=0, kw_only=True)
    within: str = field(default="90s", kw_only=True)

    def __post_init__(self) -> None:
        seconds(self.within)

    def describe(self) -> str:
        """One line for tables."""
        return f"ready = {self.equals} of {self.on} within {self.within}"

    def seen(self, history: History) -> Sighting | None:
        """The first moment with that many ready pods."""
        window = history.watched
        if window is None:
            return None
        until = window.begin + int(seconds(self.within) / history.facts.scale * SECOND)
        for t, count in history.ready_series(self.on):
            if window.holds(t) and t <= until and count == self.equals:
                return Sighting(t, f"ready {count} {_after(history, t)}")
        return None


@register("shows", "terminated")
@dataclass(frozen=True)
class Terminated(Declared):
    """A container of the role ended with this reason and exit code (None: any)."""

    on: str
    reason: str | None = field(default=None, kw_only=True)
    exit_code: int | None = field(default=None, kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        parts = [self.reason or "", f"exit {self.exit_code}" if self.exit_code is not None else ""]
        return f"a container of {self.on} terminated: {', '.join(p for p in parts if p)}"

    def seen(self, history: History) -> Sighting | None:
        """The first such ending since injection."""
        window = history.watched
        if window is None:
            return None
        found: list[tuple[int, str]] = []
        for pod in history.pods_of(self.on):
            before: set[str] = set()
            for state in pod.states:
                endings = self._endings(state)
                # What had ended before the fault is still told by every later state of the pod.
                new = endings.keys() - before
                before |= endings.keys()
                if new and window.holds(state.t):
                    found.append((state.t, f"{pod.name}/{endings[min(new)]}"))
                    break
        if not found:
            return None
        t, what = min(found)
        return Sighting(t, f"{what} {_after(history, t)}")

    def _endings(self, state: PodState) -> dict[str, str]:
        """The endings that match, by what tells one from another, with the container's name."""
        out: dict[str, str] = {}
        for name, container in state.containers.items():
            for ended in (container.terminated, container.last_terminated):
                if ended is None or self.reason not in (None, ended.get("reason")):
                    continue
                if self.exit_code in (None, ended.get("exitCode")):
                    which = ended.get("containerID") or ended.get("finishedAt")
                    out[f"{name} {which}"] = name
        return out


@register("shows", "waiting")
@dataclass(frozen=True)
class Waiting(Declared):
    """A container of the role waits for this reason (`CrashLoopBackOff`, `ContainerCreating`)."""

    on: str
    reason: str = field(kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        return f"a container of {self.on} in {self.reason}"

    def seen(self, history: History) -> Sighting | None:
        """The first pod state since injection that waits for the reason."""
        window = history.watched
        if window is None:
            return None
        found = [
            (state.t, f"{pod.name}/{name}")
            for pod in history.pods_of(self.on)
            for state in pod.states
            for name, container in state.containers.items()
            if window.holds(state.t) and container.waiting == self.reason
        ]
        if not found:
            return None
        t, what = min(found)
        return Sighting(t, f"{what} {_after(history, t)}")


@register("shows", "stuck")
@dataclass(frozen=True)
class Stuck(Declared):
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

    def seen(self, history: History) -> Sighting | None:
        """The moment at which a pod had been stuck for that long."""
        window = history.watched
        if window is None:
            return None
        heal = history.phase("heal")
        until = heal.begin if heal is not None else history.now
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
                found.append((since + length, pod.name))
        if not found:
            return None
        t, name = min(found)
        return Sighting(t, f"{name} stuck for {self.during} {_after(history, t)}")


@register("shows", "stranded")
@dataclass(frozen=True)
class Stranded(Declared):
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

    def seen(self, history: History) -> Sighting | None:
        """The moment at which a pod had been left there for that long."""
        window = history.watched
        if window is None:
            return None
        heal = history.phase("heal")
        until = heal.begin if heal is not None else history.now
        length = int(seconds(self.during) * SECOND)
        for pod in history.pods_of(self.on):
            kept = [s.t for s in pod.states if not (s.deleting or s.gone)]
            given_up = [s.t for s in pod.states if s.deleting or s.gone]
            for lost, back in self._losses(history, pod.node):
                since = max(lost, window.begin, min(kept, default=until))
                t = since + length
                if t <= min([until, back or until, *given_up]):
                    text = f"{pod.name} still bound to {pod.node}, not Ready for {self.during},"
                    return Sighting(t, f"{text} {_after(history, t)}")
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


@register("shows", "condition")
@dataclass(frozen=True)
class Condition(Declared):
    """A condition of the role's workload has this reason, such as `ProgressDeadlineExceeded`."""

    on: str
    type: str = field(kw_only=True)
    reason: str = field(kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        return f"{self.on} has condition {self.type} because of {self.reason}"

    def seen(self, history: History) -> Sighting | None:
        """The first such state since injection."""
        window, facts = history.watched, history.facts.role(self.on)
        if window is None:
            return None
        for record in history.records:
            if record["type"] != "object" or not window.holds(record["t"]):
                continue
            obj = record["object"]
            meta = obj["metadata"]
            name = f"{record['kind']}/{meta.get('name')}"
            if name not in facts.workloads or meta.get("namespace") != facts.namespace:
                continue
            for each in obj.get("status", {}).get("conditions", []):
                if each.get("type") == self.type and each.get("reason") == self.reason:
                    when = _after(history, record["t"])
                    return Sighting(record["t"], f"{name} {when}: {each.get('message', '')}")
        return None


@register("shows", "attached-elsewhere")
@dataclass(frozen=True)
class AttachedElsewhere(Declared):
    """A pod of the role waits on one node while its volume is attached to another one."""

    on: str

    def describe(self) -> str:
        """One line for tables."""
        return f"a volume of {self.on} attached to another node than its new pod's"

    def seen(self, history: History) -> Sighting | None:
        """The first such moment since injection."""
        window = history.watched
        if window is None:
            return None
        for state in volume_states(history, self.on):
            for pod in state.waiting if window.holds(state.t) else ():
                for volume in sorted(pod.volumes):
                    others = state.attached.get(volume, frozenset()) - {pod.node}
                    if others:
                        when = _after(history, state.t)
                        text = f"{volume} attached to {min(others)}, {pod.pod} is on {pod.node}"
                        return Sighting(state.t, f"{text} {when}")
        return None


@register("shows", "qos")
@dataclass(frozen=True)
class QosClass(Declared):
    """Every pod of the role that was started since injection has this `status.qosClass`."""

    on: str
    equals: str = field(default="Guaranteed", kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        return f"QoS class {self.equals} of {self.on}"

    def seen(self, history: History) -> Sighting | None:
        """The first pod, if no pod of the role has another class."""
        window = history.watched
        mine = {pod.uid: pod.name for pod in history.pods_of(self.on)}
        if window is None:
            return None
        found: list[tuple[int, str, str]] = []
        for record in history.objects("Pod"):
            uid = record["object"]["metadata"].get("uid", "")
            qos = record["object"].get("status", {}).get("qosClass")
            if uid in mine and qos and window.holds(record["t"]):
                found.append((record["t"], mine[uid], qos))
        if not found or any(qos != self.equals for _, _, qos in found):
            return None
        t, name, qos = found[0]
        return Sighting(t, f"{name} is {qos}")


attached_elsewhere = AttachedElsewhere
condition = Condition
event = Event
qos = QosClass
ready = Ready
restarts = Restarts
stranded = Stranded
stuck = Stuck
terminated = Terminated
waiting = Waiting

__all__ = [
    "attached_elsewhere",
    "condition",
    "event",
    "qos",
    "ready",
    "restarts",
    "stranded",
    "stuck",
    "terminated",
    "waiting",
]
