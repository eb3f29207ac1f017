"""Objectives on what Kubernetes does by itself, and what a variant must show of it."""

from __future__ import annotations

from typing import Any

import pytest
from judged import NAMESPACE, Tale, at, calm

from harness import objectives
from harness.declare import Expect, Objective
from harness.errors import UsageError
from harness.history.facts import RoleFacts
from harness.judgement.exposure import felt
from harness.judgement.verdict import decided, settled
from harness.objectives import shows

GAVE_UP = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def workload(
    tale: Tale,
    t: float,
    generation: int,
    *,
    updated: int = 2,
    available: int = 2,
    total: int = 2,
    conditions: list[dict[str, Any]] | None = None,
    observed: int | None = None,
    template: int | None = None,
) -> None:
    """A state of the Deployment; every generation has a pod template of its own by default."""
    status = {
        "observedGeneration": generation if observed is None else observed,
        "replicas": total,
        "updatedReplicas": updated,
        "availableReplicas": available,
        "unavailableReplicas": total - available,
        "conditions": conditions or [],
    }
    meta = {
        "name": "checkout-api",
        "namespace": NAMESPACE,
        "uid": "d-checkout-api",
        "generation": generation,
    }
    spec = {"replicas": 2, "template": {"release": generation if template is None else template}}
    obj = {"metadata": meta, "spec": spec, "status": status}
    tale.add(t, "object", kind="Deployment", verb="MODIFIED", object=obj)


def rolling() -> Tale:
    """A rollout that began at second 21 and is not complete."""
    tale = calm()
    workload(tale, 9, 1)
    workload(tale, 21, 2, observed=1)
    workload(tale, 22, 2, updated=1, total=3, available=2)
    return tale


ROLLOUT = objectives.rollout("workload", within="12s")


def test_rollout_is_met_when_every_replica_is_new_and_available() -> None:
    tale = rolling()
    workload(tale, 25, 2, updated=2, total=3, available=3)
    workload(tale, 27, 2)
    assert ROLLOUT.judge(tale.until(26)).state == "open"
    got = ROLLOUT.judge(tale.until())
    assert (got.state, got.at, got.reason) == (
        "met",
        at(27),
        "rollout of workload complete after 7 s",
    )


def test_rollout_that_never_began_is_not_complete() -> None:
    tale = calm()
    workload(tale, 9, 1)
    workload(tale, 22, 1)
    assert ROLLOUT.judge(tale.until(31)).before_heal
    assert ROLLOUT.judge(tale.until()).state == "broken"


def test_rollout_is_broken_after_its_bound_and_says_how_far_it_came() -> None:
    tale = rolling()
    workload(tale, 35, 2)
    got = ROLLOUT.judge(tale.until(33))
    assert (got.state, got.at) == ("broken", at(32))
    assert got.reason == (
        "rollout of workload not complete after 12 s: 1 of 2 replicas of the new template, "
        "1 unavailable"
    )
    assert ROLLOUT.judge(tale.until()) == got


def test_rollout_is_broken_when_the_deployment_gives_up() -> None:
    tale = rolling()
    workload(tale, 26, 2, updated=1, total=3, available=2, conditions=[GAVE_UP])
    got = ROLLOUT.judge(tale.until(27))
    assert (got.state, got.at) == ("broken", at(26))
    seen = shows.condition("workload", type="Progressing", reason="ProgressDeadlineExceeded")
    sighting = seen.seen(tale.until(27))
    assert sighting is not None
    assert sighting.at == at(26)
    assert seen.seen(tale.until(25)) is None


def test_a_rollout_back_is_not_the_rollout() -> None:
    tale = rolling()
    workload(tale, 41, 3)
    late = objectives.rollout("workload", within="60s")
    assert late.judge(tale.until()).state == "open"


HEALS = objectives.self_healing("workload", within="15s")


def test_self_healing_is_met_by_a_return_that_lasts() -> None:
    tale = calm()
    tale.pod(23, "a", ready=False)
    tale.pod(25, "a", ready=True)
    tale.pod(26, "a", ready=False)
    tale.pod(30, "a", ready=True, restarts=1)
    assert HEALS.judge(tale.until(29)).before_heal
    assert HEALS.judge(tale.until(32)).before_heal, "nobody knows yet whether it lasts"
    got = HEALS.judge(tale.until(34))
    assert (got.state, got.at) == ("met", at(30))


def test_self_healing_is_broken_when_nothing_brings_a_pod_back() -> None:
    tale = calm()
    tale.pod(23, "a", ready=False)
    tale.pod(45, "a", ready=True)
    got = HEALS.judge(tale.until())
    assert (got.state, got.at) == ("broken", at(35))
    assert got.reason == (
        "1 of 2 pods of workload ready 15 s after the database slowed, and nothing brought the "
        "rest back"
    )


def test_self_healing_does_not_count_what_the_heal_brought_back() -> None:
    tale = calm()
    tale.pod(23, "a", ready=False)
    tale.pod(45, "a", ready=True)
    late = objectives.self_healing("workload", within="40s")
    assert late.judge(tale.until()).state == "open"
    assert decided(tale.until(), [late]), "after the heal nothing can decide it any more"


@pytest.mark.parametrize("make", [objectives.rollout, objectives.self_healing])
def test_bounds_are_checked_when_they_are_declared(make: Any) -> None:
    with pytest.raises(UsageError, match="nonsense is no time of a manifest"):
        make("workload", within="nonsense + 3s")


def test_a_pod_is_stuck_when_it_runs_and_nothing_restarts_it() -> None:
    tale = calm()
    tale.pod(23, "a", ready=False)
    wanted = shows.stuck("workload", during="10s")
    assert wanted.seen(tale.until(32)) is None
    sighting = wanted.seen(tale.until(34))
    assert sighting is not None
    assert sighting.at == at(33)
    tale.pod(28, "a", ready=False, restarts=1)
    assert wanted.seen(tale.until(34)) is None


def test_qos_is_asked_of_every_pod() -> None:
    tale = calm()
    wanted = shows.qos("workload")
    assert wanted.seen(tale.until()) is None
    for t, name, qos in ((25, "a", "Guaranteed"), (26, "b", "Burstable")):
        tale.pod(t, name)
        tale.records[-1]["object"]["status"]["qosClass"] = qos
    assert wanted.seen(tale.until(25.5)) is not None
    assert wanted.seen(tale.until()) is None


def test_the_qos_class_of_pods_that_stand_already_counts() -> None:
    tale = calm()
    for record in tale.records:
        if record["type"] == "object" and record["kind"] == "Pod":
            record["object"]["status"]["qosClass"] = "Burstable"
    sighting = shows.qos("workload", equals="Burstable").seen(tale.until())
    assert sighting is not None
    assert sighting.at == at(20)
    assert shows.qos("workload").seen(tale.until()) is None


def test_a_cured_fault_counts_on_and_an_absent_one_does_not() -> None:
    tale = Tale()
    tale.measure(21, True)
    tale.measure(23, False)
    tale.records[-1]["cured"] = True
    tale.measure(31, False)
    tale.records[-1]["cured"] = True
    assert felt(tale.until(), 0).seconds == 10
    never = Tale()
    never.measure(21, False)
    never.records[-1]["cured"] = True
    assert not felt(never.until(), 0).ever, "nothing can be cured that was never felt"


def test_the_fault_is_kept_up_while_an_objective_waits_for_it() -> None:
    asked: list[Objective] = [objectives.self_healing("workload", within="15s")]
    tale = calm()
    tale.pod(23, "a", ready=False)
    expect = Expect("failed", shows=[shows.stuck("workload", during="14s")])
    assert not settled(tale.until(36), asked, expect), "exposure is reached"
    assert not settled(tale.until(36.9), asked, expect), "not shown yet"
    assert settled(tale.until(39.5), asked, expect)


def test_a_rollout_that_nobody_saw_by_its_deadline_is_told_as_that() -> None:
    told = objectives.rollout("workload", within="10s")._late(rolling().until(), 0)
    assert told == "rollout of workload not complete after 10 s: nobody saw it by then"


NEWCOMER = RoleFacts(
    role="newcomer",
    ref="Deployment/newcomer",
    namespace=NAMESPACE,
    workloads=("Deployment/newcomer",),
)


def newcomer() -> Tale:
    """A trial whose release brings one more Deployment."""
    tale = calm()
    tale.roles = (*tale.roles, NEWCOMER)
    return tale


def answered(tale: Tale, *, admitted: bool, name: str = "newcomer") -> None:
    refusal = {} if admitted else {"stage": "admission", "message": "a policy says no"}
    tale.add(
        20.2,
        "answer",
        kind="Deployment",
        name=name,
        namespace=NAMESPACE,
        admitted=admitted,
        **({"stage": None, "message": ""} | refusal),
    )


def test_a_workload_that_the_release_creates_is_rolled_out_like_one_that_it_changes() -> None:
    tale = newcomer()
    for t, available in ((20.3, 0), (24, 2)):
        workload(tale, t, 1, updated=2, available=available)
        tale.records[-1]["object"]["metadata"]["name"] = "newcomer"
    asked = objectives.rollout("newcomer", within="15s")
    assert asked.judge(tale.until(23)).state == "open"
    assert asked.judge(tale.until()) == asked.judge(tale.until(30))
    assert asked.judge(tale.until()).state == "met"
    late = objectives.rollout("newcomer", within="2s").judge(tale.until())
    assert (late.state, late.at) == ("broken", at(22))


def test_a_release_that_is_refused_is_never_rolled_out() -> None:
    tale = newcomer()
    answered(tale, admitted=False, name="somebody-else")
    asked = objectives.rollout("newcomer", within="30s")
    assert asked.judge(tale.until(22)).state == "open"
    answered(tale, admitted=False)
    found = asked.judge(tale.until(22))
    assert (found.state, found.at) == ("broken", at(20.2))
    assert found.reason == "Deployment/newcomer refused at admission: a policy says no"


def test_denied_is_broken_by_the_first_pod_that_is_let_in() -> None:
    tale = newcomer()
    answered(tale, admitted=True)
    asked = objectives.denied("newcomer")
    assert asked.control(tale.until(19)).state == "met"
    silent = asked.judge(tale.until(30))
    assert (silent.state, silent.before_heal) == ("open", True), "nobody said anything"
    tale.deployment("newcomer")
    tale.pod(24, "new", of="newcomer")
    found = asked.judge(tale.until(30))
    assert (found.state, found.at, found.reason) == ("broken", at(24), "new was let in")
    assert asked.control(tale.until(30)).state == "met", "it came after the control run"
    tale.pod(15, "early", of="newcomer")
    assert asked.control(tale.until(30)).state == "broken"


def test_what_a_cluster_cannot_make_it_has_not_denied() -> None:
    tale = newcomer()
    tale.event(
        22, "newcomer", "FailedCreate", "error looking up service account", kind="Deployment"
    )
    answered(tale, admitted=False)
    tale.records[-1]["stage"] = "validation"
    found = objectives.denied("newcomer").judge(tale.until())
    assert (found.state, found.before_heal) == ("open", True)


def test_denied_is_met_at_the_heal_by_whoever_was_heard_to_refuse() -> None:
    asked = objectives.denied("newcomer")
    by_answer, by_event = newcomer(), newcomer()
    answered(by_answer, admitted=False)
    by_event.event(22, "newcomer", "FailedCreate", "exceeded quota", kind="Deployment")
    for tale in (by_answer, by_event):
        waiting = asked.judge(tale.until(39))
        assert (waiting.state, waiting.holds) == ("open", True)
        met = asked.judge(tale.until())
        assert (met.state, met.at) == ("met", at(40))


def test_the_last_words_of_a_container_are_shown() -> None:
    tale = calm()
    wanted = shows.logged("is not set")
    words = "starting\ncannot start: GREETING is not set\n"
    tale.add(15, "log", pod="a", text=words)
    tale.add(25, "log", pod="of somebody else", text=words)
    assert wanted.seen(tale.until()) is None
    tale.add(26, "log", pod="a", text=words)
    sighting = wanted.seen(tale.until())
    assert sighting is not None
    assert sighting.text == "a 6 s after injection: cannot start: GREETING is not set"
