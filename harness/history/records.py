"""What one observation looks like in memory, and the names and units that records share.

Plain values, read from the JSON of a record; indexing them is `history`'s business.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter

from harness.history.facts import Json

SCHEMA = 2
READABLE = (1, SCHEMA)
"""Schema 1 has every object whole, which may be in 2 as well."""

SECOND = 1_000_000_000

PHASES = (
    "preflight",
    "prepare",
    "deploy",
    "control",
    "inject",
    "felt",
    "sustain",
    "heal",
    "recover",
    "remove",
    "prove clean",
)


@dataclass(frozen=True)
class Window:
    """A stretch of monotonic nanoseconds; `end` is None while it lasts."""

    begin: int
    end: int | None = None

    @property
    def closed(self) -> bool:
        """True once the window has ended."""
        return self.end is not None

    def holds(self, t: int) -> bool:
        """True if `t` lies in the window (begin included, end excluded)."""
        return self.begin <= t and (self.end is None or t < self.end)

    def touches(self, other: Window) -> bool:
        """True if the two have a moment in common, or one begins where the other ends."""
        return (self.end is None or other.begin <= self.end) and (
            other.end is None or self.begin <= other.end
        )


@dataclass(frozen=True)
class ContainerState:
    """One container of a pod as last observed."""

    restarts: int
    ready: bool
    waiting: str | None
    terminated: Json | None
    last_terminated: Json | None


@dataclass(frozen=True)
class PodState:
    """One observed state of a pod; `t` is when it was observed.

    `containers` has the sidecars, too. `disruption` is the reason for which Kubernetes says that it
    takes the pod away ("EvictionByEvictionAPI"), empty if it says nothing.
    """

    t: int
    phase: str
    ready: bool
    deleting: bool
    gone: bool
    containers: Mapping[str, ContainerState]
    disruption: str = ""

    @property
    def ended(self) -> bool:
        """True if the pod serves nobody any more and will not again."""
        return self.deleting or self.gone or self.phase in ("Failed", "Succeeded")

    @property
    def restarts(self) -> int:
        """Restarts of all containers together."""
        return sum(c.restarts for c in self.containers.values())


@dataclass
class PodTrack:
    """A pod through time; `owners` are "Kind/name" of everything that owns it, nearest first."""

    uid: str
    name: str
    namespace: str
    labels: Mapping[str, str]
    owner_uid: str | None
    owner: str | None
    node: str | None = None
    states: list[PodState] = field(default_factory=list)

    def at(self, t: int) -> PodState | None:
        """The state in force at `t`, None before the pod was seen."""
        index = bisect_right(self.states, t, key=lambda s: s.t)
        return self.states[index - 1] if index else None


@dataclass(frozen=True)
class Restart:
    """A container that was started again; `exit_code` and `reason` are of the run that ended.

    `t` is when it was seen, or when the run ended where that is known to be before the injection.
    """

    t: int
    pod: str
    pod_uid: str
    container: str
    exit_code: int | None
    reason: str | None


@dataclass(frozen=True)
class Event:
    """One Kubernetes Event. Senders are rate-limited: absence is never evidence.

    `t` is when it arrived, or its own time where that is known to be before the injection.
    """

    t: int
    reason: str
    message: str
    type: str
    count: int
    kind: str
    name: str
    namespace: str
    object_uid: str
    source: str


@dataclass(frozen=True)
class Measurement:
    """A fault's own proof: what was asked of it, what was achieved, and whether it was felt.

    It was being taken from `began` to `t`. `cured`: not felt because the subject ended by itself
    what the fault had done.
    """

    t: int
    began: int
    fault: int
    felt: bool
    asked: Json
    achieved: Json
    note: str
    cured: bool = False


@dataclass(frozen=True)
class Met:
    """Who of the subject came through what a fault breaks, in words and how often (0: nobody)."""

    fault: int
    by: str
    how: str
    count: int


@dataclass(frozen=True)
class Answer:
    """What the cluster answered to one object of a release: `of` is "Kind/name".

    `stage` is where on the apply path it was refused (admission, validation...), None if it was
    not.
    """

    t: int
    of: str
    namespace: str | None
    admitted: bool
    stage: str | None
    message: str


@dataclass(frozen=True)
class Attempt:
    """Something that somebody tried in or on a role: `by` a pod, or whoever asks at the API.

    `answer` is `allowed`, `refused` or `silent`. `permitted`: tried on something that nobody
    forbids, to show that whoever tries is able to.
    """

    t: int
    name: str
    role: str
    by: str
    target: str
    permitted: bool
    answer: str
    code: str
    text: str


@dataclass(frozen=True)
class Blind:
    """A stretch in which changes of the objects `what` ("Pod in shop-1a2b") were not seen."""

    what: str
    window: Window
    reason: str

    @property
    def kind(self) -> str:
        """Kind of the objects."""
        return self.what.partition(" ")[0]


@dataclass(frozen=True)
class Problem:
    """Something that makes the trial inconclusive, and whose fault it is."""

    t: int
    blame: str
    message: str


def in_force(series: Sequence[tuple[int, int]], t: int) -> int | None:
    """The value of a (time, value) series at a time, None before its first."""
    index = bisect_right(series, t, key=itemgetter(0))
    return series[index - 1][1] if index else None


def unix_seconds(text: str | None) -> float | None:
    """A time that Kubernetes wrote into an object, None if it wrote none."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def pod_state(t: int, pod: Json, *, gone: bool) -> PodState:
    status = pod.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    containers = {}
    for c in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        state = c.get("state", {})
        containers[c["name"]] = ContainerState(
            restarts=c.get("restartCount", 0),
            ready=c.get("ready", False),
            waiting=state.get("waiting", {}).get("reason"),
            terminated=state.get("terminated"),
            last_terminated=c.get("lastState", {}).get("terminated"),
        )
    return PodState(
        t=t,
        phase=status.get("phase", "Unknown"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        deleting="deletionTimestamp" in pod["metadata"],
        gone=gone,
        containers=containers,
        disruption=conditions.get("DisruptionTarget", {}).get("reason", ""),
    )


def last_seen(event: Json) -> float | None:
    """When an Event last happened, by its sender's clock."""
    series: Json = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return unix_seconds(next((text for text in times if text), None))


def event_of(t: int, obj: Json) -> Event:
    # Both event APIs are served from one store; events.k8s.io names the fields differently.
    about: Json = obj.get("involvedObject") or obj.get("regarding") or {}
    series: Json = obj.get("series") or {}
    return Event(
        t=t,
        reason=obj.get("reason") or "",
        message=obj.get("message") or obj.get("note") or "",
        type=obj.get("type") or "Normal",
        count=series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1,
        kind=about.get("kind", ""),
        name=about.get("name", ""),
        namespace=about.get("namespace", ""),
        object_uid=about.get("uid", ""),
        source=(obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "",
    )
