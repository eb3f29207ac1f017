"""Histories made by hand, for tests of judgement: a few records at chosen seconds, cut anywhere.

`histories` beside it simulates whole trials on disk; this module is for the single line of a rule.
`Tale.until(t)` is the history as it was known at second `t`, requests in flight included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness import objectives
from harness.declare import Declared, Exposure, Finding, Objective, Scope
from harness.history.arrivals import Due, Header, Schedule
from harness.history.facts import Facts, FaultFacts, Json, RoleFacts
from harness.history.history import History
from harness.history.outcomes import TIMEOUT
from harness.history.records import SECOND
from harness.history.requests import Requests

ORIGIN = 1_000 * SECOND
NAMESPACE = "prod-checkout-1a2b"
WORKLOAD = RoleFacts(
    role="workload",
    ref="Deployment/checkout-api",
    namespace=NAMESPACE,
    workloads=("Deployment/checkout-api",),
    replicas=2,
    liveness_s=10.0,
    readiness_out_s=4.0,
    readiness_back_s=2.0,
    startup_s=8.0,
    grace_s=3.0,
    why={
        "liveness_s": "3 x 3 s period + 1 s timeout",
        "readiness_out_s": "3 x 1 s period + 1 s timeout",
    },
)
SLOW = FaultFacts(
    name="slow-dependency",
    target="database",
    describe="database 3s slower",
    onset="the database slowed",
    scope="namespace",
    met=False,
)
ENTRY = RoleFacts(role="entry", ref="Service/front-door", namespace=NAMESPACE)
# Phases of a trial in which the fault is felt for longer than 1.5 x 10 s.
EDGES = {
    "preflight": (0.0, 1.0),
    "prepare": (1.0, 2.0),
    "deploy": (2.0, 10.0),
    "control": (10.0, 20.0),
    "inject": (20.0, 20.5),
    "felt": (20.5, 22.0),
    "sustain": (22.0, 40.0),
    "heal": (40.0, 41.0),
    "recover": (41.0, 60.0),
    "remove": (61.0, 63.0),
    "prove clean": (63.0, 64.0),
}
HELD = Finding("met", "held")
Answer = Callable[[float], tuple[float, int]]
"""Seconds that a request takes which is meant to start at a second, and its outcome."""


@dataclass(frozen=True)
class Slow(Declared):
    """A fault that judgement only asks for its name."""

    family: ClassVar[str] = "fault"
    name: ClassVar[str] = "slow-dependency"
    scope: ClassVar[Scope] = "namespace"
    target: str = "database"

    @property
    def onset(self) -> str:
        """For sentences."""
        return f"the {self.target} slowed"

    def describe(self) -> str:
        """For tables."""
        return f"{self.target} 3s slower"


@dataclass(frozen=True)
class Says(Declared):
    """An objective that says what the test wants it to say."""

    name: ClassVar[str] = "says"
    scope: ClassVar[Scope] = "namespace"
    watches: ClassVar[tuple[str, ...]] = ("Pod",)
    finding: Finding
    in_control: Finding = HELD
    needs: float | None = 2.0

    def describe(self) -> str:
        """For tables."""
        return "an objective"

    def judge(self, history: History) -> Finding:
        """What the test wants."""
        return self.finding

    def control(self, history: History) -> Finding:
        """What the test wants."""
        return self.in_control

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """What the test wants."""
        return None if self.needs is None else Exposure(self.needs, "as the test wants")


def fine(_: float) -> tuple[float, int]:
    """Every request answered at once."""
    return 0.01, 200


@dataclass
class Tale:
    """What happened, in seconds; `edges` None for a phase leaves it out."""

    rate: float = 10.0
    answer: Answer = fine
    edges: dict[str, tuple[float, float | None]] = field(default_factory=lambda: dict(EDGES))
    load: tuple[float, float] = (9.0, 60.5)
    records: list[Json] = field(default_factory=list)
    roles: Sequence[RoleFacts] = (WORKLOAD, ENTRY)
    faults: Sequence[FaultFacts] = (SLOW,)
    scale: int = 1
    started_late: float = 0.0
    _made: tuple[Any, NDArray[np.int64]] | None = None

    def add(self, t: float, type_: str, **data: Any) -> None:
        """One record at a second."""
        self.records.append({"t": at(t), "wall": t, "type": type_, **data})

    def owned(self, kind: str, name: str, uid: str, owner: tuple[str, str, str] | None) -> None:
        """An object with a controlling owner (kind, name, uid)."""
        meta: Json = {"name": name, "namespace": NAMESPACE, "uid": uid}
        if owner:
            meta["ownerReferences"] = [
                {"kind": owner[0], "name": owner[1], "uid": owner[2], "controller": True}
            ]
        self.add(2.5, "object", kind=kind, verb="ADDED", object={"metadata": meta})

    def deployment(self, name: str = "checkout-api") -> None:
        """A Deployment and its ReplicaSet."""
        self.owned("Deployment", name, f"d-{name}", None)
        owner = ("Deployment", name, f"d-{name}")
        self.owned("ReplicaSet", f"{name}-5f", f"rs-{name}", owner)

    def pod(
        self,
        t: float,
        name: str,
        *,
        of: str = "checkout-api",
        ready: bool = True,
        restarts: int = 0,
        waiting: str | None = None,
        ended: Json | None = None,
        last: Json | None = None,
        deleting: bool = False,
        verb: str = "MODIFIED",
        namespace: str = NAMESPACE,
    ) -> None:
        """A state of a pod of the Deployment `of`."""
        meta: Json = {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "ownerReferences": [
                {
                    "kind": "ReplicaSet",
                    "name": f"{of}-5f",
                    "uid": f"rs-{of}",
                    "controller": True,
                }
            ],
        }
        if deleting:
            meta["deletionTimestamp"] = "2026-01-31T03:14:00Z"
        state: Json = {"running": {}}
        if waiting:
            state = {"waiting": {"reason": waiting}}
        if ended:
            state = {"terminated": ended}
        container = {
            "name": "app",
            "restartCount": restarts,
            "ready": ready,
            "state": state,
            "lastState": {"terminated": last} if last else {},
        }
        status = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [container],
        }
        self.add(t, "object", kind="Pod", verb=verb, object={"metadata": meta, "status": status})

    def event(
        self,
        t: float,
        name: str,
        reason: str,
        message: str = "",
        *,
        kind: str = "Pod",
        warnings: int = 0,
    ) -> None:
        """A Kubernetes Event on a pod (or on an object of another kind); the so-manieth warning of
        its kind from the kubelet if `warnings` is given."""
        about = {"kind": kind, "name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"}
        meta = {"name": f"{name}.{reason}", "namespace": NAMESPACE, "uid": f"ev-{name}-{reason}"}
        event: Json = {
            "metadata": meta,
            "involvedObject": about,
            "reason": reason,
            "message": message,
        }
        if warnings:
            event |= {"type": "Warning", "count": warnings, "source": {"component": "kubelet"}}
        self.add(t, "object", kind="Event", verb="ADDED", object=event)

    def measure(self, t: float, felt: bool, fault: int = 0, note: str = "took 3 s") -> None:
        """One measurement of a fault."""
        self.add(t, "measurement", fault=fault, felt=felt, asked={}, achieved={}, note=note)

    def blind(self, begin: float, end: float | None, what: str) -> None:
        """Changes of some objects were not seen; end None: never again."""
        for edge, t in (("begin", begin), ("end", end)):
            if t is not None:
                self.add(t, "blind", what=what, edge=edge, reason="410 Gone", lost=edge == "end")

    def machine(self, others: float, *, since: float = 0.0) -> None:
        """Others had this share, from then on, of a machine of two CPUs that was always busy."""
        for t in range(0, 60, 5):
            taken = others * 2 * max(t - since, 0.0)
            nodes = {"n": {"seconds": 2.0 * t - taken, "at": float(t)}}
            self.add(t, "machine", cpus=2, busy=2.0 * t, own=0.0, stolen=0.0, nodes=nodes)

    def problem(self, t: float, blame: str, message: str) -> None:
        """What makes the trial inconclusive."""
        self.add(t, "problem", blame=blame, message=message)

    def until(self, t: float | None = None) -> History:
        """The history as known at second `t`; None: when all was over."""
        history = History(self._requests(t))
        roles = {r.role: asdict(r) for r in self.roles}
        told: list[Json] = [
            {
                "t": at(0.0),
                "type": "trial",
                "schema": 1,
                "onset": " and ".join(f.onset for f in self.faults),
                "faults": [asdict(f) for f in self.faults],
            },
            {"t": at(0.1), "type": "facts", "roles": roles, "scale": self.scale},
        ]
        for name, (begin, end) in self.edges.items():
            mark = {"type": "phase", "phase": name}
            told.append({"t": at(begin), "wall": begin, "edge": "begin", **mark})
            if end is not None:
                told.append({"t": at(end) - 1, "wall": end, "edge": "end", **mark})
        for record in sorted([*told, *self.records], key=lambda r: r["t"]):
            if t is None or record["t"] <= at(t):
                history.add(record)
        return history

    def _requests(self, t: float | None) -> Requests:
        begin, stop = self.load
        over = t is None or t >= stop + 10
        known = stop + 10 if t is None else t
        if known < begin:
            return Requests.empty()
        header = Header(
            started=at(begin),
            endpoints=("GET /",),
            weights=(1.0,),
            rate=self.rate,
            arrivals="constant",
            seed=1,
            open_loop=True,
            timeout_s=10.0,
        )
        due = Due(schedule=Schedule(rate=self.rate, seed=1), origin=at(begin), stop=at(stop))
        intended, start, end, status = self._answered(due)
        ended = end <= at(known)
        return Requests.of(
            *(column[ended] for column in (intended, start, end, np.zeros_like(end), status)),
            endpoints=header.endpoints,
            header=header,
            due=due,
            recorded_until=None if over else at(known),
            dispatched=None if over else int(np.count_nonzero(intended <= at(known))),
        )

    def _answered(self, due: Due) -> Sequence[NDArray[np.int64]]:
        """Columns of all requests; asked again and again, so worked out once for each answer."""
        made_of = (self.rate, self.load, self.started_late, self.answer)
        if self._made is None or self._made[0] != made_of:
            begin, stop = self.load
            rows = []
            for offset in due.schedule.offsets(at(stop) - at(begin)).tolist():
                moment = begin + offset / SECOND
                took, status = self.answer(moment)
                took, status = (10.0, TIMEOUT) if took >= 10 else (took, status)
                start = moment + self.started_late
                rows.append((at(begin) + offset, at(start), at(start + took), status))
            self._made = made_of, np.array(rows, dtype=np.int64).reshape(-1, 4).T
        return list(self._made[1])


def at(t: float) -> int:
    """Monotonic nanoseconds of a second of the tale."""
    return ORIGIN + round(t * SECOND)


def calm(**changes: Any) -> Tale:
    """Two ready pods, a fault felt from second 21 to 39, every request answered."""
    tale = Tale(**changes)
    tale.deployment()
    for name in ("a", "b"):
        tale.pod(5.0, name, ready=False, verb="ADDED")
        tale.pod(8.0, name)
        tale.pod(62.0, name, ready=False, deleting=True)
        tale.pod(62.5, name, ready=False, deleting=True, verb="DELETED")
    tale.measure(10.5, False, note="took 0.01 s")
    for second in range(21, 40):
        tale.measure(second, True)
    tale.measure(40.5, False, note="took 0.01 s")
    return tale


def declared() -> list[Objective]:
    """The objectives of most scenarios."""
    return [
        objectives.restarts("workload", at_most=0),
        objectives.availability(at_least=0.99, during="recovered"),
        objectives.recovery(within="readiness + 5s"),
    ]
