"""Synthetic trial folders in the real schema, for tests of judgement and of reports.

A `Story` says what happens; `write_trial` simulates it second by second and writes the records
through `history.Writer`, the requests in the generator's own format and the verdict through
`verdict.judge`, so that nothing here knows a shape that the harness does not. Virtual time: a story
of thirty minutes is written in a second.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson

from harness import objectives
from harness.declare import Declared, Expect, Load, Objective, Scenario, Scope
from harness.history.arrivals import Schedule
from harness.history.facts import Json
from harness.history.history import History
from harness.history.outcomes import NOT_SENT, TIMEOUT
from harness.history.records import SECOND
from harness.history.requests import COLUMNS
from harness.history.run_files import REQUESTS_FILE
from harness.history.writer import Writer
from harness.judgement.verdict import judge
from harness.objectives import shows

WALL0 = 1_790_000_000.0
MONO0 = 5_000 * SECOND
ENDPOINTS = ("GET /cart", "POST /orders")
REPLICAS = 3
LIMIT = 256 * 1024 * 1024
LATENCY_S = 3.0


@dataclass(frozen=True)
class SlowDatabase(Declared):
    """Stands in for the shipped fault, so that these tests import nothing of a cluster."""

    family: ClassVar[str] = "fault"
    name: ClassVar[str] = "slow-dependency"
    scope: ClassVar[Scope] = "namespace"
    target: str
    latency: str

    @property
    def onset(self) -> str:
        """The words of the shipped fault."""
        return f"the {self.target} slowed"

    def describe(self) -> str:
        """The words of the shipped fault."""
        return f"{self.target} {self.latency} slower"


SLOW = SlowDatabase("database", "3s")


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happens in a trial; all times in seconds.

    `kills`: when, after injection, each replica is killed by its liveness probe for the first time.
    `unsent`: share of arrivals that the generator could not send. `control_ok`: False for a subject
    that was broken before the fault. `stops_in`: the phase in which the harness was killed.
    """

    slug: str = "liveness-checks-database"
    title: str = "A liveness probe that queries the database turns a slow database into an outage"
    variant: str = "hardened"
    kills: tuple[float, ...] = ()
    rate: float = 40.0
    control_s: float = 12.0
    sustain_s: float = 96.0
    felt: bool = True
    unsent: float = 0.0
    control_ok: bool = True
    stops_in: str | None = None
    memory: bool = True
    seed: int = 7
    liveness_path: str = "/healthz/live"
    expect: Literal["survived", "failed"] = "survived"
    scale: int = 1

    @property
    def trial(self) -> str:
        """Suffix of the trial's namespaces."""
        return f"{sum(map(ord, self.slug + self.variant)) % 0xFFFF:04x}"

    @property
    def namespace(self) -> str:
        """Where the subject lives."""
        return f"prod-checkout-{self.trial}"


HARDENED = Story()
FRAGILE = Story(
    variant="fragile", kills=(41.2, 52.4, 62.6), liveness_path="/healthz/db", expect="failed"
)
LONG = Story(variant="nightly", rate=50, sustain_s=1740, control_s=20)
NOT_FELT = Story(variant="not-felt", felt=False)
STARVED = Story(variant="starved", unsent=0.06)
SICK = Story(variant="sick", control_ok=False)
SHORT = Story(variant="short", sustain_s=20)
INTERRUPTED = Story(variant="interrupted", stops_in="sustain")


def scenario(story: Story) -> Scenario:
    """The resolved scenario that a story plays."""
    return Scenario(
        slug=story.slug,
        title=story.title,
        source="000 section 3",
        subject="checkout",
        load=Load(rate=story.rate, endpoints={"GET /cart": 4, "POST /orders": 1}),
        faults=[SLOW],
        objectives=[
            objectives.restarts("workload", at_most=0),
            objectives.availability(at_least=0.99, during="recovered"),
            objectives.recovery(within="readiness + 5s"),
        ],
        variants={story.variant: expect(story)},
        scale=story.scale,
    )


def expect(story: Story) -> Expect:
    """What the story's variant is expected to do, and to show."""
    if story.expect == "survived":
        return Expect("survived")
    return Expect(
        "failed",
        [
            shows.event("Unhealthy", on="workload", message="Liveness probe failed"),
            shows.restarts("workload", every_replica=True),
            shows.ready("workload", equals=0, within="90s"),
        ],
    )


def write_run(folder: Path, *stories: Story, **facts: Any) -> Path:
    """A run folder with one trial for each story; `facts` go into `run.json` as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [write_trial(folder, story).name for story in stories]
    run = {
        "schema": 1,
        "id": folder.name,
        "started": WALL0,
        "ended": WALL0 + 260,
        "command": ["harness", "run", *sorted({s.slug for s in stories})],
        "by": "outcome",
        "seed": 7,
        "subject": None,
        "harness": {"version": "0.1.0", "git": "8e3be24", "dirty": False},
        "host": {
            "system": "Linux-6.18.0-x86_64-with-glibc2.36",
            "kernel": "6.18.0",
            "cpus": 2,
            "memory_bytes": 25_282_351_104,
            "cgroup": "v1",
            "python": "3.11.7",
        },
        "versions": {"kubernetes": "v1.36.3", "kind": "v0.33.0", "containerd": "2.3.0"},
        "trials": names,
        "not_applicable": [],
        "residue": [],
        **facts,
    }
    (folder / "run.json").write_bytes(orjson.dumps(run, option=orjson.OPT_INDENT_2))
    return folder


def write_trial(run: Path, story: Story) -> Path:
    """One trial's folder: history, requests, manifests, trial.json and, unless killed, verdict."""
    folder = run / f"{story.slug}__{story.variant}"
    (folder / "manifests").mkdir(parents=True)
    play = Play(story)
    records = sorted(play.records(), key=lambda r: r[0])
    stop = play.stop
    writer = Writer(folder)
    for t, type_, data in records:
        if t <= stop:
            writer.append(type_, t=MONO0 + int(t * SECOND), wall=WALL0 + t, **data)
    writer.close()
    _write_requests(folder / REQUESTS_FILE, play)
    trial = {
        **play.trial_record(),
        "started": WALL0,
        "ended": WALL0 + min(stop, play.end),
        "seconds": round(min(stop, play.end), 1),
        "residue": [],
    }
    (folder / "trial.json").write_bytes(orjson.dumps(trial, option=orjson.OPT_INDENT_2))
    (folder / "manifests" / "objects.json").write_bytes(
        orjson.dumps(manifests(story), option=orjson.OPT_INDENT_2)
    )
    if story.stops_in is None:
        history = History.read(folder)
        declared: list[Objective] = list(scenario(story).objectives)
        result = judge(history, declared, expect(story))
        (folder / "verdict.json").write_bytes(
            orjson.dumps(result.to_json(), option=orjson.OPT_INDENT_2)
        )
    return folder


def manifests(story: Story) -> list[Json]:
    """What was applied: the workload and its Service, as far as the reports look at them."""
    hardened = story.expect == "survived"
    liveness: Json = {
        "httpGet": {"path": story.liveness_path, "port": 8080},
        "initialDelaySeconds": 15,
        "periodSeconds": 20,
    }
    readiness: Json = {
        "httpGet": {"path": "/healthz/ready" if hardened else "/healthz/db", "port": 8080},
        "initialDelaySeconds": 5,
        "periodSeconds": 10,
        "failureThreshold": 3,
    }
    container = {
        "name": "checkout-api",
        "image": "registry.harness/checkout-api@sha256:" + "5a" * 32,
        "livenessProbe": liveness,
        "readinessProbe": readiness,
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"memory": "256Mi"}},
    }
    labels = {"app": "checkout-api"}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "checkout-api", "namespace": story.namespace},
            "spec": {
                "replicas": REPLICAS,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "checkout-api", "namespace": story.namespace},
            "spec": {"selector": labels, "ports": [{"port": 8080}]},
        },
    ]


Entry = tuple[float, str, Json]


@dataclass
class Play:
    """The simulation of one story; times in seconds from the trial's begin."""

    story: Story
    edges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        s = self.story
        lengths = {
            "preflight": 1.2,
            "prepare": 2.1,
            "deploy": 19.4,
            "control": s.control_s,
            "inject": 0.6,
            "felt": 4.4,
            "sustain": s.sustain_s,
            "heal": 0.5,
            "recover": 24.0,
            "remove": 3.1,
            "prove clean": 4.0,
        }
        t = 0.0
        for name, seconds in lengths.items():
            self.edges[name] = (t, t + seconds)
            t += seconds
        self.end = t
        self.stop = self.end + 1
        if s.stops_in is not None:
            begin, end = self.edges[s.stops_in]
            self.stop = (begin + end) / 2
        self.random = random.Random(s.seed)
        self.injected = self.edges["inject"][0]
        self.healed = self.edges["heal"][1]

    def trial_record(self) -> Json:
        """The first record of the history, also the core of trial.json."""
        s = self.story
        return {
            "schema": 1,
            "trial": s.trial,
            "slug": s.slug,
            "title": s.title,
            "variant": s.variant,
            "scenario": scenario(s).to_json(),
            "seed": s.seed,
            "scale": s.scale,
            "onset": SLOW.onset,
            "faults": [
                {
                    "name": SLOW.name,
                    "target": SLOW.target,
                    "describe": SLOW.describe(),
                    "onset": SLOW.onset,
                    "scope": SLOW.scope,
                    "met": False,
                }
            ],
            "versions": {"kubernetes": "v1.36.3", "kind": "v0.33.0"},
            "cluster": "harness",
            "expect": {
                "verdict": s.expect,
                "shows": [each.to_json() for each in expect(s).shows],
            },
            "namespaces": {"prod-checkout": s.namespace},
            "notes": [],
        }

    def records(self) -> Iterator[Entry]:
        """Every record, in no particular order."""
        yield 0.0, "trial", self.trial_record()
        yield 0.1, "facts", {"roles": self._roles(), "scale": self.story.scale}
        for name, (begin, end) in self.edges.items():
            yield begin, "phase", {"phase": name, "edge": "begin"}
            yield end - 0.001, "phase", {"phase": name, "edge": "end"}
        yield from self._deployment()
        for index in range(REPLICAS):
            yield from self._pod(index)
        yield from self._measurements()
        yield from self._machine()
        yield self.healed - 0.2, "fault", {"step": "healed", "text": "toxics on database"}

    def _machine(self) -> Iterator[Entry]:
        """Two CPUs, half of them busy; others have a tenth."""
        for t in range(0, int(self.stop), 5):
            nodes = {"harness-control-plane": {"seconds": 0.8 * t, "at": WALL0 + t}}
            own = {"busy": 1.0 * t, "own": 0.0, "stolen": 0.0, "cpus": 2, "nodes": nodes}
            yield float(t), "machine", own

    # -- what requests experience -----------------------------------------------------------

    def ready(self, index: int, t: float) -> bool:
        """Whether a replica is ready."""
        if t < self.edges["deploy"][0] + 11 + index:
            return False
        return all(not (begin <= t < back) for begin, back in self.outages(index))

    def outages(self, index: int) -> list[tuple[float, float]]:
        """(killed, ready again) of a replica; it comes back only after the heal."""
        if not self.story.kills:
            return []
        killed = self.injected + self.story.kills[index % len(self.story.kills)]
        return [(killed, self.healed + 5.2 + 1.9 * index)]

    def slow(self, t: float) -> bool:
        """Whether the fault is at work."""
        return self.story.felt and self.injected + 0.4 <= t < self.healed - 0.3

    def request(self, t: float) -> tuple[float, int]:
        """(seconds, status) of a request meant to start at `t`."""
        rng = self.random
        if t < self.healed and rng.random() < self.story.unsent and t > self.injected:
            return 0.0, NOT_SENT
        if not self.story.control_ok and rng.random() < 0.2:
            return rng.uniform(0.01, 0.03), 500
        up = sum(self.ready(i, t) for i in range(REPLICAS))
        took = math.exp(rng.gauss(math.log(0.014), 0.45))
        if up == 0:
            return rng.uniform(0.002, 0.006), 503
        if not self.slow(t):
            return took, 200
        # What is left of the replicas gets all the load: queues grow as they are killed.
        crowd = (REPLICAS / up) ** 2
        took += LATENCY_S * rng.uniform(1.0, 1.05) + 0.35 * (crowd - 1) * rng.uniform(0.5, 2.2)
        return (10.0, TIMEOUT) if took >= 10 or rng.random() < 0.03 * (crowd - 1) else (took, 200)

    # -- records ----------------------------------------------------------------------------

    def _roles(self) -> Json:
        return {
            "workload": {
                "role": "workload",
                "ref": "Deployment/checkout-api",
                "namespace": self.story.namespace,
                "workloads": ["Deployment/checkout-api"],
                "replicas": REPLICAS,
                "liveness_s": 62.0,
                "readiness_out_s": 31.0,
                "readiness_back_s": 11.0,
                "grace_s": 30.0,
                "why": {
                    "liveness_s": "3 x 20 s period + 1 s timeout + 1 s to act",
                    "readiness_back_s": "10 s period + 1 s timeout",
                },
            }
        }

    def _deployment(self) -> Iterator[Entry]:
        s, t = self.story, self.edges["deploy"][0]
        meta = {"name": "checkout-api", "namespace": s.namespace, "uid": f"dep-{s.trial}"}
        yield t + 0.3, "object", _object("Deployment", "ADDED", {"metadata": meta})
        owner = {"kind": "Deployment", "name": "checkout-api", "uid": meta["uid"]}
        replica_set = {
            "name": "checkout-api-6d5f",
            "namespace": s.namespace,
            "uid": f"rs-{s.trial}",
            "ownerReferences": [{**owner, "controller": True}],
        }
        yield t + 0.4, "object", _object("ReplicaSet", "ADDED", {"metadata": replica_set})
        for verb, resource, name in (
            ("create", "namespaces", s.namespace),
            ("patch", "deployments", "checkout-api"),
            ("patch", "services", "checkout-api"),
        ):
            # Read once the load is over; `at` is when the API server took the request.
            yield (
                self.edges["recover"][1] - 0.1,
                "audit",
                {
                    "id": f"{verb}-{name}",
                    "at": datetime.fromtimestamp(WALL0 + t + 0.2, UTC).isoformat(),
                    "user": "kubernetes-admin",
                    "agent": "resilience-harness",
                    "verb": verb,
                    "group": "",
                    "resource": resource,
                    "subresource": "",
                    "namespace": s.namespace,
                    "name": name,
                    "code": 201 if verb == "create" else 200,
                    "reason": "",
                    "body": None,
                },
            )

    def _pod(self, index: int) -> Iterator[Entry]:
        t, uid = self.edges["deploy"][0] + 0.6, f"pod-{self.story.trial}-{index}"
        name = f"checkout-api-6d5f-{['xkz7q', 'm2v9d', 't8w4c'][index]}"
        running = t + 3.0
        up = self.edges["deploy"][0] + 11 + index
        yield t, "object", self._state(uid, name, restarts=0, waiting="ContainerCreating")
        yield running, "object", self._state(uid, name, restarts=0)
        yield up, "object", self._state(uid, name, restarts=0, ready=True)
        for reason, text, at in (
            ("Scheduled", f"Successfully assigned {self.story.namespace}/{name} to harness", 0.1),
            ("Pulled", "Container image already present on machine", 1.0),
            ("Created", "Created container: checkout-api", 1.4),
            ("Started", "Started container checkout-api", 2.9),
        ):
            yield t + at, "object", self._event(uid, name, reason, text, type_="Normal")
        for killed, back in self.outages(index):
            yield from self._killed(uid, name, killed, back)
        removed = self.edges["remove"][0] + 1.0
        yield removed, "object", self._state(uid, name, restarts=0, deleting=True)
        yield removed + 1, "object", self._state(uid, name, restarts=0, verb="DELETED")
        if self.story.memory:
            for second in range(0, int(self.edges["remove"][0] - running), 2):
                busy = 1.6 if self.slow(running + second) else 1.0
                value = int((58 + 6 * index + 4 * self.random.random()) * busy * 1024 * 1024)
                yield (
                    running + second,
                    "sample",
                    {
                        "pod": name,
                        "container": "checkout-api",
                        "name": "memory_bytes",
                        "value": value,
                        "limit": LIMIT,
                    },
                )

    def _killed(self, uid: str, name: str, killed: float, back: float) -> Iterator[Entry]:
        probe = (
            'Liveness probe failed: Get "http://10.244.0.9:8080/healthz/db": context deadline '
            "exceeded (Client.Timeout exceeded while awaiting headers)"
        )
        for number, before in enumerate((40.5, 20.4, 0.4), start=1):
            yield killed - before, "object", self._event(uid, name, "Unhealthy", probe, number)
        kill = "Container checkout-api failed liveness probe, will be restarted"
        yield killed - 0.3, "object", self._event(uid, name, "Killing", kill, type_="Normal")
        ended = {"exitCode": 137, "reason": "Error", "startedAt": "", "finishedAt": ""}
        yield killed, "object", self._state(uid, name, restarts=1, last=ended)
        yield (
            killed + 0.6,
            "log",
            {
                "pod": name,
                "container": "checkout-api",
                "previous": True,
                "restart": 1,
                "exit_code": 137,
                "reason": "Error",
                "missing": None,
                "text": _LOG.format(pod=name),
            },
        )
        again = killed + 38.0
        if again < self.healed:
            yield again - 1, "object", self._event(uid, name, "Killing", kill, 2, type_="Normal")
            yield (
                again,
                "object",
                self._state(uid, name, restarts=2, last=ended, waiting="CrashLoopBackOff"),
            )
            text = "Back-off restarting failed container checkout-api in pod " + name
            yield again + 0.5, "object", self._event(uid, name, "BackOff", text)
            yield self.healed + 0.5, "object", self._state(uid, name, restarts=2, last=ended)
        restarts = 2 if again < self.healed else 1
        yield back, "object", self._state(uid, name, restarts=restarts, last=ended, ready=True)

    def _state(
        self,
        uid: str,
        name: str,
        *,
        restarts: int,
        ready: bool = False,
        waiting: str | None = None,
        last: Json | None = None,
        deleting: bool = False,
        verb: str = "MODIFIED",
    ) -> Json:
        meta: Json = {
            "name": name,
            "namespace": self.story.namespace,
            "uid": uid,
            "labels": {"app": "checkout-api"},
            "ownerReferences": [
                {
                    "kind": "ReplicaSet",
                    "name": "checkout-api-6d5f",
                    "uid": f"rs-{self.story.trial}",
                    "controller": True,
                }
            ],
        }
        if deleting or verb == "DELETED":
            meta["deletionTimestamp"] = "2026-09-21T12:00:00Z"
        container = {
            "name": "checkout-api",
            "restartCount": restarts,
            "ready": ready,
            "state": {"waiting": {"reason": waiting}} if waiting else {"running": {}},
            "lastState": {"terminated": last} if last else {},
        }
        status = {
            "phase": "Pending" if waiting == "ContainerCreating" else "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [container],
        }
        pod = {"metadata": meta, "spec": {"nodeName": "harness-control-plane"}, "status": status}
        return _object("Pod", verb, pod)

    def _event(
        self,
        uid: str,
        name: str,
        reason: str,
        message: str,
        count: int = 1,
        type_: str = "Warning",
    ) -> Json:
        event = {
            "metadata": {
                "name": f"{name}.{reason.lower()}",
                "namespace": self.story.namespace,
                "uid": f"ev-{uid}-{reason}",
            },
            "involvedObject": {
                "kind": "Pod",
                "name": name,
                "namespace": self.story.namespace,
                "uid": uid,
            },
            "reason": reason,
            "message": message,
            "type": type_,
            "count": count,
            "source": {"component": "kubelet"},
        }
        return _object("Event", "ADDED" if count == 1 else "MODIFIED", event)

    def _measurements(self) -> Iterator[Entry]:
        t = self.edges["control"][0] + 0.5
        while t + LATENCY_S + 0.2 < self.edges["heal"][0]:
            felt = self.slow(t)
            took = 0.004 + self.random.random() * 0.004
            if felt:
                took = LATENCY_S + 0.004 + abs(self.random.gauss(0, 0.012))
            yield (
                t + took,
                "measurement",
                {
                    "fault": 0,
                    "felt": felt,
                    "asked": {"seconds_at_least": LATENCY_S, "bytes": 1},
                    "achieved": {"seconds": round(took, 4), "ok": True, "error": ""},
                    "note": f"an exchange took {took:.3f} s, asked at least {LATENCY_S:g} s",
                },
            )
            t += max(2.0, took + 0.5)
        # Healing ends when the fault is no longer felt.
        yield (
            self.healed - 0.05,
            "measurement",
            {
                "fault": 0,
                "felt": False,
                "asked": {"seconds_at_least": LATENCY_S, "bytes": 1},
                "achieved": {"seconds": 0.005, "ok": True, "error": ""},
                "note": f"an exchange took 0.005 s, asked at least {LATENCY_S:g} s",
            },
        )


_LOG = """\
INFO  checkout-api starting, pool of 10 connections to checkout-db:5432
INFO  listening on 0.0.0.0:8080
WARN  GET /healthz/db took 3.021 s
WARN  GET /healthz/db took 3.018 s
WARN  pool: 10 of 10 in use, 14 waiting
WARN  GET /healthz/db took 3.031 s
INFO  SIGTERM received, draining ({pod})
ERROR drain: 12 requests still in flight after 30 s
"""


def _object(kind: str, verb: str, obj: Json) -> Json:
    meta = obj["metadata"]
    return {
        "kind": kind,
        "verb": verb,
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "object": obj,
    }


def _write_requests(path: Path, play: Play) -> None:
    """The recording as `harness.load` writes it: a header, columns with health, an end."""
    story = play.story
    started = play.edges["control"][0] - 1
    stopped = min(play.edges["recover"][1], play.stop)
    header = {
        "started": MONO0 + int(started * SECOND),
        "endpoints": ENDPOINTS,
        "weights": (4.0, 1.0),
        "rate": story.rate,
        "arrivals": "constant",
        "seed": story.seed,
        "open_loop": True,
        "timeout_s": 10.0,
    }
    schedule = Schedule(rate=story.rate, seed=story.seed, weights=(4.0, 1.0))
    blocks = schedule.blocks(2048)
    with path.open("wb") as file:
        file.write(orjson.dumps({"header": header}) + b"\n")
        handled, going = 0, True
        while going:
            offsets, endpoints = next(blocks)
            rows: list[tuple[int, ...]] = []
            for offset, endpoint in zip(offsets.tolist(), endpoints.tolist(), strict=True):
                t = started + offset / SECOND
                if t >= stopped:
                    going = False
                    break
                took, status = play.request(t)
                intended = header["started"] + offset
                begun = intended + 200_000
                rows.append((intended, begun, begun + int(took * SECOND), endpoint, status))
            handled += len(rows)
            columns = {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}
            file.write(orjson.dumps({"v": 1, **columns}) + b"\n")
            at = MONO0 + int(min(t, stopped) * SECOND)
            health = {"at": at, "scheduled": handled, "sent": handled, "in_flight": 0}
            file.write(orjson.dumps({"health": health}) + b"\n")
        if story.stops_in is None:
            end = {"end": {"stopped": MONO0 + int(stopped * SECOND)}}
            file.write(orjson.dumps(end) + b"\n")


def variant_of(story: Story, **changes: Any) -> Story:
    """A story with some fields changed."""
    return replace(story, **changes)
