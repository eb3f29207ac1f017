"""The history of one trial: an index over all that was observed, append-only, of any prefix.

Read from a folder, or grown live, record by record. Requests are kept in columns beside it
(`requests.jsonl`, see `requests`); `writer` makes the file. Nothing here judges; objectives and the
diagnosis ask a `History` questions.

A record is a JSON object with `t` (monotonic nanoseconds), `wall` (Unix seconds of arrival) and
`type`; docs/history.md lists the types. Times that Kubernetes wrote into an object are whole
seconds: they order nothing that is closer than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from harness.history.facts import Facts, FaultFacts, Json, RoleFacts
from harness.history.phases import Phases
from harness.history.reader import read_records
from harness.history.records import (
    Answer,
    Attempt,
    Blind,
    Event,
    Measurement,
    Met,
    PodState,
    PodTrack,
    Problem,
    Restart,
    Window,
    event_of,
    in_force,
    last_seen,
    pod_state,
    unix_seconds,
)
from harness.history.requests import Requests
from harness.history.requests_tail import RequestsTail
from harness.history.run_files import HISTORY_FILE, REQUESTS_FILE


class History(Phases):
    """An index over the records of one trial; grows by `add` and `poll`, never forgets.

    Every question is answered from what has been added so far, so it may be asked of any prefix.
    """

    def __init__(self, requests: Requests | None = None) -> None:
        super().__init__()
        self.records: list[Json] = []
        self.trial: Json = {}
        self.facts = Facts(roles={})
        self.faults: list[FaultFacts] = []
        self.requests = requests if requests is not None else Requests.empty()
        self.events: list[Event] = []
        self.measurements: list[Measurement] = []
        self.problems: list[Problem] = []
        self.met: list[Met] = []
        self.answers: list[Answer] = []
        self.attempts: list[Attempt] = []
        self.blind: list[Blind] = []
        self.machine: list[Json] = []
        self.pods: dict[str, PodTrack] = {}
        self._owners: dict[str, tuple[str, str, str | None]] = {}
        self._wanted: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self._tail: RequestsTail | None = None

    @classmethod
    def read(cls, folder: Path) -> History:
        """The history in a trial's folder; a torn last line is left out. Raises HistoryError."""
        history = cls(RequestsTail(folder / REQUESTS_FILE).read())
        for record in read_records(folder / HISTORY_FILE):
            history.add(record)
        return history

    def follow_requests(self, path: Path) -> None:
        """Read requests from a file that a running load generator writes; `poll` takes the news."""
        self._tail = RequestsTail(path)

    def poll(self) -> None:
        """Take in the requests that were recorded since the last call."""
        if self._tail is not None:
            self.requests = self._tail.read()

    def add(self, record: Json) -> None:
        """Index one record."""
        self.records.append(record)
        match record["type"]:
            case "trial":
                self.trial = record
                self.faults = FaultFacts.of_trial(record)
            case "fault" if record["step"] == "declared":
                self.faults.append(FaultFacts(**record["facts"]))
            case "facts":
                roles = {n: RoleFacts(**_tuples(r)) for n, r in record["roles"].items()}
                self.facts = Facts(roles=roles, scale=record["scale"])
            case "phase":
                self.add_phase(record)
            case "object":
                self._add_object(record)
            case "measurement":
                self.measurements.append(
                    Measurement(
                        record["t"],
                        record.get("began") or record["t"],
                        record["fault"],
                        record["felt"],
                        record["asked"],
                        record["achieved"],
                        record.get("note", ""),
                        record.get("cured", False),
                    )
                )
            case "met":
                self.met.append(Met(*(record[key] for key in ("fault", "by", "how", "count"))))
            case "answer":
                self.answers.append(
                    Answer(
                        record["t"],
                        f"{record['kind']}/{record['name']}",
                        *(record[key] for key in ("namespace", "admitted", "stage", "message")),
                    )
                )
            case "attempt":
                self.attempts.append(Attempt(**{f.name: record[f.name] for f in fields(Attempt)}))
            case "blind":
                self._add_blind(record)
            case "machine":
                self.machine.append(record)
            case "problem":
                self.problems.append(Problem(record["t"], record["blame"], record["message"]))

    @property
    def now(self) -> int:
        """Monotonic nanoseconds of the newest record (0 if there is none)."""
        return self.records[-1]["t"] if self.records else 0

    @property
    def over(self) -> bool:
        """True once recovery was watched to its end and no request is without its outcome."""
        recover = self.phase("recover")
        return recover is not None and recover.closed and self.requests.settled

    # -- pods -------------------------------------------------------------------------------

    def pods_of(self, role: str) -> list[PodTrack]:
        """Pods that belong to a role through their owners, in order of first sight."""
        facts = self.facts.role(role)
        return [
            pod
            for pod in self.pods.values()
            if pod.namespace == facts.namespace
            and any(owner in facts.workloads for owner in self.owners(pod))
        ]

    def owners(self, pod: PodTrack) -> list[str]:
        """ "Kind/name" of the pod itself, its owner, the owner's owner, and so on."""
        chain = [f"Pod/{pod.name}"]
        owner, uid = pod.owner, pod.owner_uid
        while owner is not None:
            chain.append(owner)
            if uid is None or uid not in self._owners:
                break
            _, uid, owner = self._owners[uid][0], self._owners[uid][1], self._owners[uid][2]
        return chain

    def restarts(self, role: str, window: Window | None = None) -> list[Restart]:
        """Container restarts of a role's pods, in time order."""
        out: list[Restart] = []
        for pod in self.pods_of(role):
            previous: PodState | None = None
            for state in pod.states:
                for name, container in state.containers.items():
                    before = previous.containers.get(name) if previous else None
                    more = container.restarts - (before.restarts if before else 0)
                    ended = container.last_terminated or {}
                    code, reason = ended.get("exitCode"), ended.get("reason")
                    t = self.moment(state.t, unix_seconds(ended.get("finishedAt")))
                    # One state may stand for several: kubelet reports seldom when it is busy.
                    out += [Restart(t, pod.name, pod.uid, name, code, reason)] * max(more, 0)
                previous = state
        out.sort(key=lambda r: r.t)
        return [r for r in out if window is None or window.holds(r.t)]

    def ready_series(self, role: str) -> list[tuple[int, int]]:
        """(time, ready pods of the role) at each change; a pod being deleted is not ready."""
        changes = [
            (state.t, track.uid, state.ready and not state.gone and not state.deleting)
            for track in self.pods_of(role)
            for state in track.states
        ]
        changes.sort(key=itemgetter(0))
        series: list[tuple[int, int]] = []
        ready: set[str] = set()
        for t, together in groupby(changes, key=itemgetter(0)):
            for _, uid, counts in together:
                (ready.add if counts else ready.discard)(uid)
            if not series or series[-1][1] != len(ready):
                series.append((t, len(ready)))
        return series

    def ready_at(self, role: str, t: int) -> int:
        """Ready pods of a role at a time."""
        return in_force(self.ready_series(role), t) or 0

    def wanted(self, owner: str, namespace: str) -> list[tuple[int, int]]:
        """(time, pods asked for) of an object ("ReplicaSet/api-5f"), as it said itself."""
        return self._wanted.get((namespace, owner), [])

    def answers_on(self, role: str) -> list[Answer]:
        """What the cluster answered to a release of a role's own workloads."""
        facts = self.facts.role(role)
        return [
            each
            for each in self.answers
            if each.of in facts.workloads and each.namespace == facts.namespace
        ]

    # -- events -----------------------------------------------------------------------------

    def events_on(
        self, role: str, *, reason: str, message: str = "", window: Window | None = None
    ) -> list[Event]:
        """Events on a role's pods, workloads or ReplicaSets, by reason and part of the message."""
        facts = self.facts.role(role)
        pods = {pod.uid for pod in self.pods_of(role)}
        return [
            e
            for e in self.events
            if e.reason == reason
            and message in e.message
            and (window is None or window.holds(e.t))
            and e.namespace == facts.namespace
            and (e.object_uid in pods or self._belongs(e, facts.workloads))
        ]

    def _belongs(self, event: Event, workloads: Sequence[str]) -> bool:
        if f"{event.kind}/{event.name}" in workloads:
            return True
        known = self._owners.get(event.object_uid)
        return known is not None and known[2] in workloads

    # -- objects ----------------------------------------------------------------------------

    def objects(self, kind: str) -> Iterator[Json]:
        """Records of observed changes of one kind, in order: `verb`, `object`, `t`."""
        return (r for r in self.records if r["type"] == "object" and r["kind"] == kind)

    def samples(self, name: str) -> Iterator[Json]:
        """Records of what was sampled under one name, in order; docs/history.md lists the names."""
        return (r for r in self.records if r["type"] == "sample" and r["name"] == name)

    def _add_blind(self, record: Json) -> None:
        what, t, reason = record["what"], record["t"], record["reason"]
        begun = [b for b in self.blind if b.what == what and not b.window.closed]
        if record["edge"] == "begin":
            self.blind.append(Blind(what, Window(t), reason))
            return
        for each in begun:
            self.blind.remove(each)
        since = min((b.window.begin for b in begun), default=0)
        self.blind.append(Blind(what, Window(since, t), reason))

    def _add_object(self, record: Json) -> None:
        obj = record["object"]
        meta = obj["metadata"]
        kind, uid = record["kind"], meta.get("uid", "")
        if kind == "Event":
            if record["verb"] != "DELETED":
                self.events.append(event_of(self.moment(record["t"], last_seen(obj)), obj))
            return
        owner = next((o for o in meta.get("ownerReferences", []) if o.get("controller")), None)
        self._owners[uid] = (
            f"{kind}/{meta['name']}",
            owner["uid"] if owner else "",
            f"{owner['kind']}/{owner['name']}" if owner else None,
        )
        if (wanted := _wanted(kind, obj)) is not None:
            key = meta.get("namespace", ""), f"{kind}/{meta['name']}"
            self._wanted.setdefault(key, []).append((record["t"], wanted))
        if kind != "Pod":
            return
        track = self.pods.get(uid)
        if track is None:
            track = self.pods[uid] = PodTrack(
                uid=uid,
                name=meta["name"],
                namespace=meta.get("namespace", ""),
                labels=meta.get("labels", {}),
                owner_uid=owner["uid"] if owner else None,
                owner=f"{owner['kind']}/{owner['name']}" if owner else None,
            )
        track.node = obj.get("spec", {}).get("nodeName", track.node)
        state = pod_state(record["t"], obj, gone=record["verb"] == "DELETED")
        last = track.states[-1] if track.states else state
        # Most changes of a pod leave its containers alone: these are kept once.
        if last.containers == state.containers:
            state = replace(state, containers=last.containers)
        track.states.append(state)


def _wanted(kind: str, obj: Json) -> int | None:
    """How many pods the object asks for, None if it says nothing of that."""
    if kind == "DaemonSet":
        count: int | None = obj.get("status", {}).get("desiredNumberScheduled")
    else:
        count = obj.get("spec", {}).get("replicas")
    return count


def _tuples(data: Json) -> Json:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
