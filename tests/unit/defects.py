"""What can be missing from a recorded trial, or odd in it, as changes of `survivors.Trial`.

`fatal`: nothing can be concluded any more, and whose fault that is. `harmless`: what was concluded
still holds. `breaking`: the subject did what it must not do. `excusing`: what broke says nothing of
the configuration. Each takes a source of choices, so that Hypothesis can draw and shrink them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import numpy as np
from survivors import Trial

from harness.history.arrivals import SECOND
from harness.history.facts import Json
from harness.history.outcomes import NOT_SENT
from harness.history.requests import Requests

T = TypeVar("T")


class Choose(Protocol):
    """Where choices come from."""

    def among(self, options: Sequence[T]) -> T: ...

    def between(self, low: int, high: int) -> int: ...


Defect = Callable[[Trial, Choose], Trial]
FATAL: dict[str, tuple[str, Defect]] = {}
HARMLESS: dict[str, Defect] = {}
BREAKING: dict[str, Defect] = {}
EXCUSING: dict[str, Defect] = {}


def fatal(blame: str) -> Callable[[Defect], Defect]:
    """Registers a defect after which the trial is inconclusive, by that one's fault."""

    def mark(defect: Defect) -> Defect:
        FATAL[defect.__name__] = blame, defect
        return defect

    return mark


def into(registry: dict[str, Defect]) -> Callable[[Defect], Defect]:
    """Registers a defect under its name."""

    def mark(defect: Defect) -> Defect:
        registry[defect.__name__] = defect
        return defect

    return mark


# -- parts ---------------------------------------------------------------------------------------


def without(trial: Trial, gone: Callable[[Json], bool]) -> Trial:
    return replace(trial, records=tuple(r for r in trial.records if not gone(r)))


def changed(trial: Trial, change: Callable[[Json], Json | None]) -> Trial:
    """With what `change` makes of copies of the records; None leaves one as it is."""
    return replace(trial, records=tuple(change(copy.deepcopy(r)) or r for r in trial.records))


def record(t: int, type_: str, **data: Any) -> Json:
    return {"t": t, "wall": 0.0, "type": type_, **data}


def asked(requests: Requests, keep: Any) -> Requests:
    """The load of users who announce nothing (a closed loop), as far as it is kept."""
    columns = (requests.intended, requests.start, requests.end, requests.endpoint, requests.status)
    header = requests.header and replace(requests.header, open_loop=False)
    return Requests.of(*(c[keep] for c in columns), endpoints=requests.endpoints, header=header)


def answered(trial: Trial, since: int, status: int) -> Trial:
    """Every request that was meant to start from then on ended like this."""
    requests = trial.requests
    how = np.where(requests.intended >= since, status, requests.status).astype(np.int16)
    return replace(trial, requests=replace(requests, status=how))


def is_object(r: Json, kind: str) -> bool:
    return bool(r["type"] == "object" and r["kind"] == kind)


def wall_of_injection(trial: Trial) -> float:
    return float(next(r["wall"] for r in trial.records if r["t"] == trial.moment("inject")))


def a_pod(trial: Trial) -> Json:
    """The last state of a pod of the workload before the fault."""
    injected = trial.moment("inject")
    return next(r for r in reversed(trial.records) if is_object(r, "Pod") and r["t"] < injected)


def restarted(trial: Trial, t: int, finished: float | None) -> Json:
    """A state of a pod whose container was started again."""
    seen = copy.deepcopy(a_pod(trial))
    container = seen["object"]["status"]["containerStatuses"][0]
    container["restartCount"] += 1
    ended: Json = {"exitCode": 1, "reason": "Error"}
    if finished is not None:
        ended["finishedAt"] = datetime.fromtimestamp(finished, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    container["lastState"] = {"terminated": ended}
    return {**seen, "t": t, "verb": "MODIFIED"}


def under_fault(trial: Trial, choose: Choose) -> int:
    return choose.between(trial.moment("felt"), trial.moment("heal") - 1)


# -- nothing can be concluded --------------------------------------------------------------------


@fatal("harness")
def a_kind_was_not_recorded(trial: Trial, choose: Choose) -> Trial:
    if not trial.reads:
        return blind_for_ever(trial, choose)
    kind = choose.among(sorted(trial.reads))
    return without(trial, lambda r: is_object(r, kind))


def _blind(trial: Trial, choose: Choose, *, ends: bool) -> Trial:
    kind = choose.among(sorted({k for o in trial.objectives for k in o.watches}))
    low, high = trial.moment("control"), trial.moment("recover", "end") - 1
    begin = choose.between(low, high)
    more = {"what": f"{kind} in prod", "reason": "410 Gone"}
    told = [record(begin, "blind", edge="begin", lost=False, **more)]
    if ends:
        end = choose.between(begin, high + 5 * SECOND)
        told.append(record(end, "blind", edge="end", lost=choose.among([True, False]), **more))
    return trial.telling(*told)


@fatal("harness")
def blind_for_ever(trial: Trial, choose: Choose) -> Trial:
    return _blind(trial, choose, ends=False)


@fatal("harness")
def blind_for_a_while(trial: Trial, choose: Choose) -> Trial:
    return _blind(trial, choose, ends=True)


@fatal("harness")
def no_load(trial: Trial, choose: Choose) -> Trial:
    return replace(trial, requests=Requests.empty())


@fatal("harness")
def no_load_after_the_injection(trial: Trial, choose: Choose) -> Trial:
    injected = trial.moment("inject")
    return replace(trial, requests=asked(trial.requests, trial.requests.intended < injected))


@fatal("harness")
def hardly_any_load_under_the_fault(trial: Trial, choose: Choose) -> Trial:
    begin, end = trial.moment("inject"), trial.moment("heal")
    times = trial.requests.intended
    few = np.flatnonzero((times >= begin) & (times < end))[: choose.between(1, 4)]
    keep = (times < begin) | (times >= end)
    keep[few] = True
    return replace(trial, requests=asked(trial.requests, keep))


@fatal("subject")
def hardly_any_load_in_control(trial: Trial, choose: Choose) -> Trial:
    begin, end = trial.moment("control"), trial.moment("control", "end")
    times = trial.requests.intended
    few = np.flatnonzero((times >= begin) & (times < end))[: choose.between(1, 4)]
    keep = (times < begin) | (times >= end)
    keep[few] = True
    return replace(trial, requests=asked(trial.requests, keep))


@fatal("subject")
def a_load_that_never_succeeded(trial: Trial, choose: Choose) -> Trial:
    return answered(trial, 0, choose.among([400, 401, 404, 500, 502, 503]))


@fatal("harness")
def a_load_that_nobody_answered(trial: Trial, choose: Choose) -> Trial:
    return answered(trial, 0, choose.among([-1, -2, -3, -8]))


@fatal("host")
def a_generator_that_fell_behind(trial: Trial, choose: Choose) -> Trial:
    requests = trial.requests
    begin, end = trial.moment("inject"), trial.moment("recover", "end")
    late = (requests.intended >= begin) & (requests.intended < end)
    late &= np.arange(len(requests)) % choose.between(2, 50) == 0
    how = np.where(late, NOT_SENT, requests.status).astype(np.int16)
    return replace(trial, requests=replace(requests, status=how))


@fatal("harness")
def a_fault_that_was_not_measured(trial: Trial, choose: Choose) -> Trial:
    injected = trial.moment("inject")
    return without(trial, lambda r: r["type"] == "measurement" and r["t"] >= injected)


@fatal("harness")
def a_fault_that_was_not_felt(trial: Trial, choose: Choose) -> Trial:
    return changed(trial, lambda r: {**r, "felt": False} if r["type"] == "measurement" else None)


@fatal("harness")
def a_gap_between_measurements(trial: Trial, choose: Choose) -> Trial:
    """Only what was measured in the first and the last seconds of the fault is left."""
    begin = trial.moment("felt") + choose.between(1, 2) * SECOND
    end = trial.moment("heal") - choose.between(1, 3) * SECOND
    return without(trial, lambda r: r["type"] == "measurement" and begin < r["t"] < end)


@fatal("subject")
def a_fault_that_the_subject_did_not_meet(trial: Trial, choose: Choose) -> Trial:
    looked = choose.among([True, False])

    def ask(r: Json) -> Json | None:
        if r["type"] == "met":
            return {**r, "count": 0} if looked else {**r, "type": "note"}
        if r["type"] == "trial":
            return {**r, "faults": [{**fault, "met": True} for fault in r["faults"]]}
        return None

    return changed(trial, ask)


@fatal("harness")
def no_control_run(trial: Trial, choose: Choose) -> Trial:
    edges = choose.among([("begin", "end"), ("end",)])
    return without(trial, lambda r: r.get("phase") == "control" and r["edge"] in edges)


@fatal("host")
def a_problem(trial: Trial, choose: Choose) -> Trial:
    t = choose.between(trial.moment("preflight"), trial.moment("remove"))
    return trial.telling(record(t, "problem", blame="host", message="no space left"))


@fatal("harness")
def cut_off_before_the_heal(trial: Trial, choose: Choose) -> Trial:
    last = choose.between(trial.moment("control"), trial.moment("heal") - 1)
    return without(trial, lambda r: r["t"] > last)


@fatal("subject")
def a_restart_before_the_fault_that_is_told_late(trial: Trial, choose: Choose) -> Trial:
    if not any(o.name == "restarts" for o in trial.objectives):
        return a_load_that_never_succeeded(trial, choose)
    before = choose.between(3, 8)
    t = choose.between(trial.moment("inject") + 1, trial.moment("heal"))
    return trial.telling(restarted(trial, t, wall_of_injection(trial) - before))


@fatal("subject")
def a_restart_between_control_and_fault(trial: Trial, choose: Choose) -> Trial:
    if not any(o.name == "restarts" for o in trial.objectives):
        return a_load_that_never_succeeded(trial, choose)
    injected = trial.moment("inject")
    return trial.telling(restarted(trial, injected - choose.between(1, 100), None))


@fatal("harness")
def roles_without_pods(trial: Trial, choose: Choose) -> Trial:
    if not trial.reads:
        return no_load(trial, choose)

    def rename(r: Json) -> Json | None:
        if r["type"] != "facts":
            return None
        roles = {n: {**role, "workloads": ["Deployment/typo"]} for n, role in r["roles"].items()}
        return {**r, "roles": roles}

    return changed(trial, rename)


@fatal("harness")
def what_was_to_happen_did_not_happen(trial: Trial, choose: Choose) -> Trial:
    """No pod was lost that could have come back, no volume was attached."""
    names = {o.name for o in trial.objectives}
    if "self-healing" in names:
        begin, end = trial.moment("inject"), trial.moment("heal")
        return without(trial, lambda r: is_object(r, "Pod") and begin <= r["t"] < end)
    if "attached-once" in names:
        return without(trial, lambda r: is_object(r, "VolumeAttachment"))
    return a_fault_that_was_not_felt(trial, choose)


# -- nothing is wrong ----------------------------------------------------------------------------


@into(HARMLESS)
def an_event_of_before_that_comes_late(trial: Trial, choose: Choose) -> Trial:
    pod = a_pod(trial)["object"]["metadata"]
    old = datetime.fromtimestamp(wall_of_injection(trial) - choose.between(2, 9), UTC)
    event = {
        "metadata": {"name": "late", "namespace": pod["namespace"], "uid": "late"},
        "involvedObject": {"kind": "Pod", "uid": pod["uid"], "name": pod["name"]},
        "reason": choose.among(["Unhealthy", "Killing", "BackOff"]),
        "message": "Container app failed liveness probe, will be restarted",
        "lastTimestamp": old.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    t = under_fault(trial, choose)
    return trial.telling(record(t, "object", kind="Event", verb="ADDED", object=event))


@into(HARMLESS)
def somebody_elses_blindness(trial: Trial, choose: Choose) -> Trial:
    t = under_fault(trial, choose)
    what = choose.among(["Event in prod", "Node", "Service in prod"])
    return trial.telling(record(t, "blind", what=what, edge="begin", reason="410", lost=False))


@into(HARMLESS)
def a_state_that_is_told_again(trial: Trial, choose: Choose) -> Trial:
    injected = trial.moment("inject")
    removed = trial.moment("remove")
    seen = [r for r in trial.records if r["type"] == "object" and injected <= r["t"] < removed]
    if not seen:
        return trial
    again = choose.among(seen)
    return trial.telling({**again, "t": again["t"] + 1, "relisted": True})


@into(HARMLESS)
def a_strangers_pod(trial: Trial, choose: Choose) -> Trial:
    t = under_fault(trial, choose)
    pod = restarted(trial, t, None)
    pod["object"]["metadata"] |= {"uid": "stranger", "name": "stranger", "namespace": "elsewhere"}
    return trial.telling(pod)


@into(HARMLESS)
def an_unknown_record(trial: Trial, choose: Choose) -> Trial:
    return trial.telling(record(under_fault(trial, choose), "weather", text="fine"))


# -- the subject breaks --------------------------------------------------------------------------


@into(BREAKING)
def a_container_restarts(trial: Trial, choose: Choose) -> Trial:
    return trial.telling(restarted(trial, under_fault(trial, choose), None))


@into(BREAKING)
def a_sidecar_restarts(trial: Trial, choose: Choose) -> Trial:
    pod = restarted(trial, under_fault(trial, choose), None)
    status = pod["object"]["status"]
    sidecar = {**status["containerStatuses"][0], "name": "proxy"}
    status["containerStatuses"][0]["restartCount"] -= 1
    status["initContainerStatuses"] = [sidecar]
    return trial.telling(pod)


@into(BREAKING)
def a_pod_is_evicted_and_replaced(trial: Trial, choose: Choose) -> Trial:
    t = choose.between(trial.moment("felt"), trial.moment("heal") - 5 * SECOND)
    old = copy.deepcopy(a_pod(trial))
    new = copy.deepcopy(old)
    old["object"]["status"] |= {"phase": "Failed", "reason": "Evicted"}
    new["object"]["metadata"] |= {"uid": "uid-new", "name": "new"}
    return trial.telling(
        {**old, "t": t, "verb": "MODIFIED"}, {**new, "t": t + SECOND, "verb": "ADDED"}
    )


# -- what broke says nothing ---------------------------------------------------------------------


def _machine(nodes: Callable[[float], Json], **more: Callable[[float], float]) -> Defect:
    def taken(trial: Trial, choose: Choose) -> Trial:
        rest = {"cpus": 2, "own": 0.0, "stolen": 0.0}
        begin, end = trial.moment("preflight"), trial.moment("remove")
        told = []
        for t in range(begin, end, 5 * SECOND):
            s = (t - begin) / SECOND
            use = {"busy": 2.0 * s, **{name: value(s) for name, value in more.items()}}
            told.append({**record(t, "machine", nodes=nodes(s), **rest, **use), "wall": s})
        return trial.telling(*told)

    return taken


EXCUSING["others have the machine"] = _machine(lambda s: {"n": {"seconds": 0.1 * s, "at": s}})
EXCUSING["kubelets are too starved to count"] = _machine(
    lambda s: {"n": {"seconds": 0.1, "at": 0.0}}
)
EXCUSING["sibling trials have the machine"] = _machine(
    lambda s: {"n": {"seconds": 2.0 * s, "at": s}}, siblings=lambda s: 1.6 * s
)


@into(EXCUSING)
def the_generator_fell_behind(trial: Trial, choose: Choose) -> Trial:
    return a_generator_that_fell_behind(trial, choose)
