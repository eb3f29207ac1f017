"""Trials that survive, one for each way of surviving, for tests that put defects into them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import histories
from judged import NAMESPACE, SLOW, Tale, calm, declared

from harness import objectives
from harness.declare import Expect, Objective
from harness.history.facts import Json
from harness.history.history import History
from harness.history.requests import Requests
from harness.judgement.verdict import Result, judge

PODS = frozenset({"Pod", "ReplicaSet"})


@dataclass(frozen=True, repr=False)
class Trial:
    """What was recorded, and what is asked of it. `reads`: kinds without which nothing is known."""

    records: tuple[Json, ...]
    requests: Requests
    objectives: tuple[Objective, ...]
    reads: frozenset[str] = PODS

    def history(self, length: int | None = None) -> History:
        """Its first records; all of them by default."""
        history = History(self.requests)
        for record in self.records[:length]:
            history.add(record)
        return history

    def judged(self) -> Result:
        """Its verdict."""
        return judge(self.history(), self.objectives, Expect("survived"))

    def moment(self, phase: str, edge: str = "begin") -> int:
        """When a phase begins or ends, in monotonic nanoseconds."""
        wanted = ("phase", phase, edge)
        return next(
            int(record["t"])
            for record in self.records
            if (record["type"], record.get("phase"), record.get("edge")) == wanted
        )

    def telling(self, *more: Json) -> Trial:
        """With more records, each at its time."""
        return replace(self, records=tuple(sorted([*self.records, *more], key=lambda r: r["t"])))


def of(tale: Tale, asked: Sequence[Objective], reads: frozenset[str] = PODS) -> Trial:
    """A tale as a trial."""
    history = tale.until()
    return Trial(tuple(history.records), history.requests, tuple(asked), reads)


def _calm() -> Trial:
    return of(calm(), [*declared(), objectives.ready("workload", at_least=2)])


def _slow() -> Trial:
    asked: list[Objective] = [
        objectives.latency(at_most="1s", during="all"),
        objectives.availability(at_least=0.9, during="fault"),
    ]
    tale = calm(answer=lambda t: (0.6 if 21 < t < 40 else 0.01, 200))
    return of(tale, asked, frozenset())


def _healed() -> Trial:
    tale = calm()
    tale.pod(23, "a", ready=False)
    tale.pod(30, "a", ready=True)
    return of(tale, [objectives.self_healing("workload", within="15s"), *declared()])


def _rolled() -> Trial:
    tale = calm()
    for t, generation, updated in ((9.0, 1, 2), (21.0, 2, 1), (27.0, 2, 2)):
        spec = {"replicas": 2, "template": {"image": str(generation)}}
        status = {
            "observedGeneration": generation,
            "updatedReplicas": updated,
            "availableReplicas": 2,
            "replicas": 4 - updated,
        }
        name = {"name": "checkout-api", "namespace": NAMESPACE, "uid": "d-checkout-api"}
        obj = {"metadata": {**name, "generation": generation}, "spec": spec, "status": status}
        tale.add(t, "object", kind="Deployment", verb="MODIFIED", object=obj)
    asked = [objectives.rollout("workload", within="12s"), *declared()]
    return of(tale, asked, PODS | {"Deployment"})


def _moved() -> Trial:
    tale = calm()
    meta = {"name": "files", "namespace": NAMESPACE, "uid": "c-files"}
    claim = {"metadata": meta, "spec": {"volumeName": "pv-1"}}
    tale.add(4, "object", kind="PersistentVolumeClaim", verb="ADDED", object=claim)
    volumes = [{"name": "files", "persistentVolumeClaim": {"claimName": "files"}}]
    tale.pod(9, "a")
    tale.records[-1]["object"]["spec"] = {"nodeName": "n1", "volumes": volumes}
    for t, node, verb in ((9.0, "n1", "ADDED"), (26.0, "n1", "DELETED"), (27.0, "n2", "ADDED")):
        attachment = {
            "metadata": {"name": f"pv-1-{node}", "uid": f"va-{node}"},
            "spec": {"nodeName": node, "source": {"persistentVolumeName": "pv-1"}},
            "status": {"attached": True},
        }
        tale.add(t, "object", kind="VolumeAttachment", verb=verb, object=attachment)
    reads = frozenset({"PersistentVolumeClaim", "VolumeAttachment"})
    return of(tale, [objectives.attached_once("workload")], reads)


def _drained() -> Trial:
    tale = calm()
    for t, name, gone in ((9, "a", False), (9, "b", False), (24, "a", True)):
        tale.pod(t, name, ready=not gone, deleting=gone, verb="DELETED" if gone else "MODIFIED")
        tale.records[-1]["object"]["spec"] = {"nodeName": f"n-{name}"}
    node = {"metadata": {"name": "n-a", "uid": "n-a"}, "spec": {"unschedulable": True}}
    tale.add(20.5, "object", kind="Node", verb="MODIFIED", object=node)
    return of(tale, [objectives.drained("workload")], PODS | {"Node"})


def _met() -> Trial:
    tale = calm(faults=[replace(SLOW, met=True), replace(SLOW, target="cache")])
    tale.add(19, "met", fault=0, by="workload", how="12 connections", count=12)
    for second in range(21, 40):
        tale.measure(second + 0.5, True, fault=1)
    return of(tale, declared())


def _recorded() -> Trial:
    """A whole trial as it is read from disk."""
    with tempfile.TemporaryDirectory() as folder:
        history = History.read(histories.write_trial(Path(folder), histories.HARDENED))
    asked = histories.scenario(histories.HARDENED).objectives
    return Trial(tuple(history.records), history.requests, tuple(asked))


_MAKERS: tuple[Callable[[], Trial], ...] = (
    _calm, _slow, _healed, _rolled, _moved, _drained, _met, _recorded,
)  # fmt: skip


@cache
def surviving() -> tuple[Trial, ...]:
    """All of them."""
    return tuple(make() for make in _MAKERS)


def failing() -> Trial:
    """A trial that fails: a pod is restarted and stays away."""
    tale = calm()
    tale.pod(33, "a", ready=False, restarts=1, last={"exitCode": 1, "reason": "Error"})
    tale.pod(50, "a", restarts=1, last={"exitCode": 1, "reason": "Error"})
    return of(tale, declared())
