"""What survival rests on beside its objectives: every way to a green, or a red, by accident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from judged import ENTRY, NAMESPACE, SLOW, WORKLOAD, Says, Tale, at, calm, declared

from harness import objectives
from harness.declare import Expect, Finding, Objective
from harness.history.arrivals import Header
from harness.history.history import History
from harness.history.outcomes import HELD_BACK, TIMEOUT
from harness.history.requests import Requests
from harness.judgement.exposure import felt
from harness.judgement.trust import not_met
from harness.judgement.verdict import Result, judge
from harness.objectives import shows

RESTARTS = [objectives.restarts("workload")]
READY = [objectives.ready("workload", at_least=2)]


def ruling(given: Tale | History, asked: Sequence[Objective] | None = None) -> Result:
    history = given.until() if isinstance(given, Tale) else given
    return judge(history, declared() if asked is None else asked, Expect("survived"))


def told(result: Result) -> tuple[str, str | None]:
    return result.verdict, result.blame


def pods(tale: Tale, *changes: tuple[float, str, bool]) -> Tale:
    """Pods whose readiness changes: (second, name, ready)."""
    for t, name, ready in changes:
        tale.pod(t, name, ready=ready)
    return tale


# -- what was watched ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "end", "what"),
    [
        pytest.param(20.2, None, "Pod in ns", id="never seen again"),
        pytest.param(20.2, 55, "Pod in ns", id="from inject to recovery"),
        pytest.param(30, 31, "Pod in ns", id="for a moment"),
        pytest.param(5, 21, "ReplicaSet in ns", id="since before the fault"),
        pytest.param(59, 70, "Deployment in ns", id="into the removal"),
    ],
)
def test_blindness_that_touches_what_is_judged_forbids_survival(
    begin: float, end: float | None, what: str
) -> None:
    tale = calm()
    tale.blind(begin, end, what)
    result = ruling(tale)
    assert told(result) == ("inconclusive", "harness")
    assert what in result.deciding


def test_blindness_elsewhere_forbids_nothing() -> None:
    tale = calm()
    tale.blind(30, 31, "Event in ns")
    tale.blind(3, 4, "Pod in ns")
    tale.blind(61, None, "Pod in ns")
    assert ruling(tale).verdict == "survived"


def test_what_broke_unseen_is_not_known_to_have_broken() -> None:
    tale = pods(calm(), (23, "a", False), (45, "a", True))
    heals = [objectives.self_healing("workload", within="15s")]
    assert ruling(tale, heals).verdict == "failed"
    tale.blind(27, 36, "Pod in ns")
    assert told(ruling(tale, heals)) == ("inconclusive", "harness")


def test_a_role_without_pods_has_done_nothing_wrong_and_nothing_right() -> None:
    typo = replace(WORKLOAD, workloads=("Deployment/typo",))
    for asked in (RESTARTS, READY, [objectives.self_healing("workload", within="10s")]):
        result = ruling(calm(roles=(typo, ENTRY)), asked)
        assert told(result) == ("inconclusive", "harness")
        assert "no pod of workload was ever seen" in result.deciding


# -- the load ------------------------------------------------------------------------------------


def users(*moments: float) -> History:
    """A calm trial under a closed loop whose users asked at these seconds."""
    history = calm().until()
    sent = np.array([at(t) for t in moments], dtype=np.int64)
    header = Header(
        started=at(9),
        endpoints=("GET /",),
        weights=(1.0,),
        rate=10,
        arrivals="constant",
        seed=1,
        open_loop=False,
        timeout_s=10.0,
    )
    columns = sent, sent, sent + 10**7, np.zeros_like(sent), np.full_like(sent, 200)
    history.requests = Requests.of(*columns, endpoints=("GET /",), header=header)
    return history


CONTROL = [9 + i / 10 for i in range(110)]


@pytest.mark.parametrize(
    "later", [pytest.param([], id="none"), pytest.param([44], id="one in recovery")]
)
@pytest.mark.parametrize("asked", [RESTARTS, READY, declared()])
def test_a_fault_in_which_nothing_was_asked_was_no_trial(
    later: list[float], asked: Sequence[Objective]
) -> None:
    assert told(ruling(users(*CONTROL, *later), asked)) == ("inconclusive", "harness")


@pytest.mark.parametrize("status", [404, 503])
def test_a_load_that_never_succeeded_is_the_subjects_fault_and_says_where_and_what(
    status: int,
) -> None:
    result = ruling(calm(answer=lambda t: (0.01, status)), RESTARTS)
    assert told(result) == ("inconclusive", "subject")
    assert f"GET / answered {status} for 100 of 100 requests" in result.deciding


def test_a_lost_control_run_names_endpoint_and_status() -> None:
    result = ruling(calm(answer=lambda t: (0.01, 503 if t < 12 else 200)))
    assert told(result) == ("inconclusive", "subject")
    assert (
        "80.00% in the control run (GET / answered 503 for 20 of 100 requests)" in result.deciding
    )


def test_too_few_requests_say_nothing() -> None:
    assert told(ruling(calm(rate=0.3))) == ("inconclusive", "subject")


def test_a_percentile_over_one_answer_is_none() -> None:
    tale = calm(answer=lambda t: (0.01, 200 if t < 20 or abs(t - 30) < 0.04 else -1))
    result = ruling(tale, [objectives.latency(at_most="1s", during="fault")])
    assert result.verdict == "failed"
    assert "194 of 195 requests failed (fault), so there is no p99" in result.deciding


def test_a_subject_that_hangs_under_a_high_rate_is_to_blame_and_not_the_host() -> None:
    def answer(t: float) -> tuple[float, int]:
        if not 20.5 <= t < 40:
            return 0.01, 200
        return (10.0, TIMEOUT) if (t - 20.5) % 10 < 1 else (0.0, HELD_BACK)

    tale = pods(calm(rate=300, answer=answer), (30, "a", False), (31, "b", False))
    tale.pod(32, "a", ready=False, restarts=1)
    assert ruling(tale).verdict == "failed"


# -- the fault -----------------------------------------------------------------------------------


def measured(*moments: float) -> Tale:
    """A calm trial in which the fault was felt at these seconds."""
    tale = calm()
    tale.records = [r for r in tale.records if r["type"] != "measurement"]
    tale.measure(10.5, False)
    for t in moments:
        tale.measure(t, True)
    return tale


def test_two_measurements_far_apart_are_no_exposure() -> None:
    tale = measured(21, 39)
    assert felt(tale.until(), 0).seconds == 0
    result = ruling(tale)
    assert told(result) == ("inconclusive", "harness")
    assert "was felt for 0 s of the 15 s" in result.deciding


def test_a_measurement_stands_for_the_time_that_it_took() -> None:
    tale = measured(21, 39)
    tale.records[-1]["began"] = at(23)
    assert felt(tale.until(), 0).seconds == 18
    assert ruling(tale).verdict == "survived"


def test_what_broke_before_the_fault_was_at_work_is_not_laid_on_it() -> None:
    tale = measured(38, 39)
    tale.pod(21, "a", restarts=1, last={"exitCode": 1})
    result = ruling(tale)
    assert told(result) == ("inconclusive", "subject")
    assert result.deciding.startswith("before any fault was felt: 1 of 2 replicas restarted")
    tale = measured(24, 25)
    tale.pod(21, "a", restarts=1, last={"exitCode": 1})
    assert ruling(tale).verdict == "failed"


def test_a_fault_that_the_subject_never_met_was_no_trial_of_it() -> None:
    tale = calm(faults=[replace(SLOW, met=True)])
    result = ruling(tale)
    assert told(result) == ("inconclusive", "subject")
    assert "nobody of the subject was seen to meet it" in result.deciding
    tale.add(19, "met", fault=0, by="workload", how="no connection of checkout-api", count=0)
    told_why = "the workload never used this dependency (no connection of checkout-api)"
    assert told_why in ruling(tale).deciding
    tale.add(19.5, "met", fault=0, by="workload", how="12 connections", count=12)
    assert ruling(tale).verdict == "survived"


# -- facts from before the injection -------------------------------------------------------------


def moment(t: float) -> str:
    """A second of the tale as Kubernetes writes it."""
    return f"1970-01-01T00:00:{t:02.0f}Z"


def test_an_event_that_is_older_than_the_fault_shows_nothing() -> None:
    tale = calm()
    tale.event(21, "a", "Unhealthy", "Liveness probe failed: old")
    sign = shows.event("Unhealthy", on="workload", message="Liveness probe failed")
    assert sign.seen(tale.until()) is not None
    tale.records[-1]["object"]["lastTimestamp"] = moment(12)
    assert sign.seen(tale.until()) is None


@pytest.mark.parametrize("ended", [14, 19])
def test_a_crash_before_the_fault_that_is_told_late_is_not_the_faults(ended: float) -> None:
    tale = calm()
    crash = {"exitCode": 1, "reason": "Error", "finishedAt": moment(ended)}
    tale.pod(20.8, "a", restarts=1, last=crash)
    result = ruling(tale)
    assert told(result) == ("inconclusive", "subject")
    assert result.deciding == "before any fault: a restarted (Error, exit 1)"
    assert shows.terminated("workload", exit_code=1).seen(tale.until()) is None


def test_a_restart_between_the_control_run_and_the_fault_is_seen() -> None:
    tale = calm()
    tale.edges["control"] = (10.0, 18.0)
    tale.pod(19, "a", restarts=1, last={"exitCode": 1})
    assert told(ruling(tale)) == ("inconclusive", "subject")


# -- what counts as a restart, a loss, a rollout -------------------------------------------------


def test_a_sidecar_that_restarts_is_a_restart() -> None:
    tale = calm()
    tale.pod(24, "a")
    sidecar = {"name": "proxy", "restartCount": 1, "ready": True, "state": {"running": {}}}
    tale.records[-1]["object"]["status"]["initContainerStatuses"] = [sidecar]
    assert ruling(tale).verdict == "failed"


def taken(tale: Tale, t: float, old: str, new: str, *, release: str = "5f") -> None:
    """A pod is taken away, and another one comes."""
    tale.pod(t, old, ready=False, deleting=True)
    tale.pod(t + 0.5, old, ready=False, deleting=True, verb="DELETED")
    tale.pod(t + 0.6, new, ready=False, verb="ADDED")
    tale.records[-1]["object"]["metadata"]["labels"] = {"pod-template-hash": release}
    tale.pod(t + 3, new)


def test_pods_that_were_evicted_and_replaced_are_restarts() -> None:
    tale = calm()
    for record in tale.records:
        if record.get("kind") == "Pod":
            record["object"]["metadata"]["labels"] = {"pod-template-hash": "5f"}
    taken(tale, 30, "a", "c")
    taken(tale, 31, "b", "d")
    result = ruling(tale)
    assert result.verdict == "failed"
    assert "2 of 2 replicas restarted (replaced by c; replaced by d)" in result.deciding


def replica_set(tale: Tale, t: float, wanted: int) -> None:
    meta = {"name": "checkout-api-5f", "namespace": NAMESPACE, "uid": "rs-checkout-api"}
    owner = {"kind": "Deployment", "name": "checkout-api", "uid": "d-checkout-api"}
    meta["ownerReferences"] = [{**owner, "controller": True}]  # type: ignore[assignment]
    obj = {"metadata": meta, "spec": {"replicas": wanted}}
    tale.add(t, "object", kind="ReplicaSet", verb="MODIFIED", object=obj)


def test_pods_that_a_rollout_back_asks_for_are_no_restarts() -> None:
    tale = calm()
    replica_set(tale, 4, 2)
    replica_set(tale, 29, 1)
    tale.pod(30, "a", ready=False, deleting=True)
    replica_set(tale, 44, 2)
    tale.pod(44.1, "c", ready=False, verb="ADDED")
    tale.pod(46, "c")
    assert ruling(tale, RESTARTS).verdict == "survived"


def test_a_pod_of_a_lost_node_has_not_restarted() -> None:
    tale = calm()
    tale.pod(30, "a", ready=False, deleting=True)
    target = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
    tale.records[-1]["object"]["status"]["conditions"].append(target)
    tale.pod(30.6, "c", verb="ADDED")
    assert ruling(tale, RESTARTS).verdict == "survived"


def test_where_nothing_was_lost_nothing_came_back() -> None:
    tale = calm()
    tale.pod(25, "c", verb="ADDED")
    result = ruling(tale, [objectives.self_healing("workload", within="10s")])
    assert told(result) == ("inconclusive", "harness")
    assert "no pod of workload was ever unready" in result.deciding


def wants(tale: Tale, t: float, count: int, kind: str = "Deployment") -> None:
    """The workload asks for so many pods."""
    meta = {"name": "checkout-api", "namespace": NAMESPACE, "uid": "d-checkout-api"}
    spec, status = ({"replicas": count}, {}) if kind == "Deployment" else ({}, {})
    if kind == "DaemonSet":
        status = {"desiredNumberScheduled": count}
    obj = {"metadata": meta, "spec": spec, "status": status}
    tale.add(t, "object", kind=kind, verb="MODIFIED", object=obj)


HEALS: list[Objective] = [objectives.self_healing("workload", within="15s")]


@pytest.mark.parametrize("seen", [True, False])
def test_an_autoscaler_that_holds_more_pods_than_the_manifest_says_is_believed(seen: bool) -> None:
    """The manifest has one replica, an autoscaler two; one of them is lost for good."""
    tale = pods(calm(roles=(replace(WORKLOAD, replicas=1), ENTRY)), (24, "a", False))
    if seen:
        wants(tale, 7, 2)
    result = ruling(tale, HEALS)
    assert result.verdict == "failed"
    assert result.deciding.startswith("1 of 2 pods of workload ready 15 s after")


def test_an_autoscaler_that_holds_fewer_pods_than_the_manifest_says_is_no_failure() -> None:
    tale = calm(roles=(replace(WORKLOAD, replicas=5), ENTRY))
    assert ruling(tale).verdict == "survived"
    wants(tale, 7, 2)
    assert ruling(tale).verdict == "survived"


def test_fewer_pods_that_were_asked_for_under_the_fault_are_enough() -> None:
    tale = calm()
    wants(tale, 7, 2)
    wants(tale, 30, 1)
    tale.pod(30.2, "a", ready=False, deleting=True)
    assert ruling(tale).verdict == "survived"


def test_pods_that_are_asked_for_under_the_fault_need_not_be_there_at_the_heal() -> None:
    tale = calm()
    wants(tale, 7, 2)
    wants(tale, 39, 4)
    assert ruling(tale).verdict == "survived"


def test_a_daemon_set_has_as_many_pods_as_the_cluster_says() -> None:
    daemon = replace(WORKLOAD, replicas=1, workloads=("Deployment/checkout-api",))
    tale = pods(calm(roles=(daemon, ENTRY)), (24, "a", False))
    asked: list[Objective] = [
        objectives.recovery(within="readiness + 5s"),
        objectives.availability(),
    ]
    assert ruling(tale, asked).verdict == "failed"


# -- rollouts ------------------------------------------------------------------------------------


def rolled(tale: Tale, t: float, generation: int, release: str, updated: int) -> None:
    """A state of the Deployment: its generation, its template and how many pods are of it."""
    meta = {"name": "checkout-api", "namespace": NAMESPACE, "uid": "d", "generation": generation}
    spec = {"replicas": 2, "template": {"image": release}}
    status = {
        "observedGeneration": generation,
        "updatedReplicas": updated,
        "availableReplicas": 2,
        "replicas": 2 if updated == 2 else 3,
    }
    obj = {"metadata": meta, "spec": spec, "status": status}
    tale.add(t, "object", kind="Deployment", verb="MODIFIED", object=obj)


@pytest.mark.parametrize("release", ["1.0", "injected"])
def test_somebody_elses_change_is_not_the_rollout(release: str) -> None:
    """It is complete while the fault is still being injected; the rollout itself hangs."""
    tale = calm()
    rolled(tale, 9, 1, "1.0", 2)
    rolled(tale, 20.1, 2, release, 2)
    rolled(tale, 20.4, 3, "2.0", 1)
    rolled(tale, 39, 3, "2.0", 1)
    result = ruling(tale, [objectives.rollout("workload", within="15s")])
    assert result.verdict == "failed"
    assert "1 of 2 replicas of the new template" in result.deciding


def test_another_number_of_pods_is_no_rollout() -> None:
    tale = calm()
    rolled(tale, 9, 1, "1.0", 2)
    rolled(tale, 25, 2, "1.0", 2)
    asked = objectives.rollout("workload", within="15s")
    assert asked.judge(tale.until(30)).state == "open"
    assert asked.judge(tale.until()).state == "broken"


def test_a_workload_that_nobody_saw_was_not_rolled_out_in_vain() -> None:
    result = ruling(calm(), [objectives.rollout("workload", within="15s")])
    assert told(result) == ("inconclusive", "harness")


def test_image_pulls_are_not_counted_against_a_rollout() -> None:
    tale = calm()
    rolled(tale, 9, 1, "1.0", 2)
    rolled(tale, 21, 2, "2.0", 1)
    rolled(tale, 37, 2, "2.0", 2)
    asked = [objectives.rollout("workload", within="10s")]
    assert ruling(tale, asked).verdict == "failed"
    tale.pod(22, "c", ready=False, verb="ADDED")
    tale.event(23, "c", "Pulling")
    assert objectives.rollout("workload", within="10s").judge(tale.until(36)).state == "open"
    tale.event(34, "c", "Pulled")
    assert asked[0].judge(tale.until()).state == "met"


# -- nothing is met for want of data -------------------------------------------------------------


@pytest.mark.parametrize(
    "asked", [objectives.availability(), objectives.recovery(), objectives.latency(at_most="1s")]
)
def test_a_recovery_in_which_nothing_was_asked_is_neither_good_nor_bad(asked: Objective) -> None:
    found = asked.judge(users(*CONTROL, *(21 + i / 5 for i in range(90))))
    assert found.state == "open"


def test_a_volume_that_nobody_saw_attached_was_not_attached_once() -> None:
    assert objectives.attached_once("workload").judge(calm().until()).state == "open"


def test_a_finding_says_nothing_before_the_machine_was_taken() -> None:
    tale = calm()
    tale.machine(0.9)
    for record in tale.records:
        if record["type"] == "machine":
            record["nodes"] = {"n": {"seconds": 1.0, "at": 1.0}}
    late: list[Objective] = [Says(Finding("broken", "it is broken", at(45)))]
    assert told(ruling(tale, late)) == ("inconclusive", "host")


def test_only_what_was_injected_must_have_been_met() -> None:
    history = calm(faults=[replace(SLOW, met=True), replace(SLOW, met=True)]).until()
    assert len(not_met(history)) == 2
    assert len(not_met(history, [1])) == 1
    assert not_met(history, []) == []
