"""Objectives: met, broken, open; and that nothing which is appended changes a decided answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from judged import ENTRY, WORKLOAD, Tale, at, calm

from harness import objectives
from harness.declare import Objective, Observable
from harness.errors import UsageError
from harness.objectives import shows

LIVENESS = "Container app failed liveness probe, will be restarted"


def failing(begin: float, end: float, status: int = 503) -> Callable[[float], tuple[float, int]]:
    """Requests meant to start in [begin, end) fail."""
    return lambda t: (0.01, status if begin <= t < end else 200)


# -- restarts ------------------------------------------------------------------------------------


def test_restarts_broken_at_the_first_one_too_many() -> None:
    tale = calm()
    tale.pod(30, "a", restarts=1)
    tale.pod(35, "b", restarts=1)
    assert objectives.restarts("workload", at_most=2).judge(tale.until()).state == "met"
    assert objectives.restarts("workload", at_most=1, cures=1).judge(tale.until()).state == "met"
    found = objectives.restarts("workload", at_most=1).judge(tale.until())
    assert (found.state, found.at) == ("broken", at(35))


def test_restarts_tell_how_many_why_when_and_what_was_left() -> None:
    tale = calm()
    for t, name in ((30, "a"), (33, "b")):
        tale.event(t - 0.5, name, "Killing", LIVENESS)
        tale.pod(t, name, ready=False, restarts=1)
    assert objectives.restarts("workload").judge(tale.until()).reason == (
        "2 of 2 replicas restarted by liveness, first 10 s after the database slowed; "
        "ready 0 of 2 at 13 s"
    )


def test_restarts_name_liveness_only_if_it_explains_every_one() -> None:
    tale = calm()
    tale.event(29.5, "a", "Killing", LIVENESS)
    for t, name in ((30, "a"), (33, "b")):
        tale.pod(t, name, restarts=1, last={"exitCode": 1, "reason": "Error"})
    reason = objectives.restarts("workload").judge(tale.until()).reason
    assert "by liveness" not in reason
    assert "(Error, exit 1)" in reason


def test_restarts_of_a_process_without_memory_are_not_laid_on_its_probe() -> None:
    tale = calm()
    tale.event(29.5, "a", "Killing", LIVENESS)
    tale.pod(30, "a", restarts=1, last={"exitCode": 137, "reason": "OOMKilled"})
    reason = objectives.restarts("workload").judge(tale.until()).reason
    assert "1 of 2 replicas restarted (OOMKilled, exit 137)" in reason


def test_restarts_that_ended_in_several_ways_name_them_all() -> None:
    tale = calm()
    for restarts, reason in ((1, "Error"), (2, "OOMKilled"), (3, "OOMKilled")):
        last = {"exitCode": 137, "reason": reason}
        tale.pod(30 + restarts, "a", restarts=restarts, last=last)
    reason = objectives.restarts("workload").judge(tale.until()).reason
    assert "1 of 2 replicas restarted (OOMKilled, exit 137; Error, exit 137), first" in reason


def test_restarts_are_open_while_it_goes_on_and_met_at_the_end() -> None:
    given = objectives.restarts("workload")
    assert [given.judge(calm().until(t)).state for t in (15, 30, 59, None)] == [
        "open",
        "open",
        "open",
        "met",
    ]


def test_restart_in_control_breaks_the_control_only() -> None:
    tale = calm()
    tale.pod(15, "a", restarts=1, last={"exitCode": 137, "reason": "OOMKilled"})
    given = objectives.restarts("workload")
    found = given.control(tale.until())
    assert (found.state, found.reason) == ("broken", "a restarted (OOMKilled, exit 137)")
    assert given.judge(tale.until()).state == "met"


# -- ready ---------------------------------------------------------------------------------------


def test_ready_broken_at_the_first_moment_with_too_few() -> None:
    tale = calm()
    tale.pod(25, "a", ready=False)
    tale.pod(27, "b", ready=False)
    found = objectives.ready("workload", at_least=2).judge(tale.until())
    assert (found.state, found.at) == ("broken", at(25))
    assert objectives.ready("workload", at_least=1).judge(tale.until()).at == at(27)


def test_ready_counts_what_was_not_ready_already_when_the_fault_came() -> None:
    tale = calm()
    tale.pod(19, "a", ready=False)
    given = objectives.ready("workload", at_least=2)
    assert given.judge(tale.until()).at == at(20)
    assert given.control(tale.until()).state == "broken"


def test_pods_that_we_remove_ourselves_break_nothing() -> None:
    assert objectives.ready("workload", at_least=2).judge(calm().until()).state == "met"


# -- availability --------------------------------------------------------------------------------


def test_availability_goes_by_intended_start_not_by_end() -> None:
    # Meant to start just before the heal began, failing long after it: of the fault, not of after.
    tale = calm(answer=lambda t: (6.0, 504) if 39 <= t < 40 else (0.01, 200))
    assert objectives.availability(at_least=0.97, during="fault").judge(tale.until()).state == (
        "broken"
    )
    assert objectives.availability(at_least=1.0, during="recovered").judge(tale.until()).state == (
        "met"
    )


def test_availability_counts_requests_without_an_outcome_as_failed() -> None:
    # Half a second of arrivals that wait until the load is over.
    tale = calm(answer=lambda t: (100.0, 200) if 30 <= t < 30.5 else (0.01, 200))
    found = objectives.availability(at_least=0.99, during="fault").judge(tale.until())
    assert found.state == "broken"
    assert "97.4" in found.reason
    assert "of 195 requests (fault), asked 99%" in found.reason


def test_availability_of_the_whole() -> None:
    tale = calm(answer=failing(30, 34))
    found = objectives.availability(at_least=0.9, during="all").judge(tale.until())
    assert (found.state, found.reason) == ("met", "availability 90.00% of 400 requests (all)")


def test_availability_of_a_subject_that_never_recovered_is_broken_not_open() -> None:
    tale = calm(answer=failing(30, 99))
    given = objectives.availability(during="recovered")
    assert given.judge(tale.until(59)).state == "open"
    found = given.judge(tale.until())
    assert (found.state, found.reason) == (
        "broken",
        "workload did not recover while it was watched: ready 2 of 2 "
        "(GET / answered 503 for 190 of 190 requests)",
    )


def test_share_is_printed_as_it_was_asked() -> None:
    assert objectives.availability(at_least=0.999).describe() == (
        "availability at least 99.9% (recovered)"
    )


def test_control_waits_for_requests_in_flight() -> None:
    tale = calm(answer=lambda t: (3.0, 200))
    given = objectives.availability(at_least=0.99)
    assert given.control(tale.until(20.5)).state == "open"
    assert given.control(tale.until(24)).state == "met"
    assert given.control(calm(answer=failing(12, 13)).until(24)).state == "broken"


# -- latency -------------------------------------------------------------------------------------


def test_latency_counts_the_wait_before_a_request_was_sent() -> None:
    tale = calm(answer=lambda t: (0.2, 200), started_late=0.4)
    given = objectives.latency(at_most="500ms", during="fault")
    assert given.judge(tale.until()).reason == "p99 0.600 s (fault), asked 500ms"
    assert given.control(tale.until()).state == "broken"
    assert objectives.latency(at_most="700ms", during="fault").judge(tale.until()).state == "met"


def test_latency_of_nothing_answered_is_broken() -> None:
    tale = calm(answer=lambda t: (0.0, -1 if t > 19.9 else 200))
    found = objectives.latency(at_most="1s", during="fault").judge(tale.until())
    assert (found.state, found.reason) == (
        "broken",
        "195 of 195 requests failed (fault), so there is no p99 "
        "(GET /: connection refused for 195 of 195 requests)",
    )


def test_latency_of_a_subject_that_never_recovered_is_broken() -> None:
    assert objectives.latency(at_most="1s").judge(calm(answer=failing(30, 99)).until()).state == (
        "broken"
    )


def test_latency_needs_the_machine_to_itself() -> None:
    assert objectives.latency(at_most="1s").scope == "machine"


# -- recovery ------------------------------------------------------------------------------------


def test_recovery_within_a_bound_of_the_manifest() -> None:
    tale = calm()
    tale.pod(30, "a", ready=False)
    tale.pod(47.5, "a")
    # Healed at 41; readiness takes 2 s.
    assert objectives.recovery(within="readiness + 5s").judge(tale.until()).state == "met"
    found = objectives.recovery(within="readiness + 4s").judge(tale.until())
    assert (found.state, found.reason) == ("broken", "recovered 6.5 s after the heal (bound 6 s)")


def test_recovery_is_broken_once_its_bound_has_passed() -> None:
    tale = calm()
    tale.pod(30, "a", ready=False)
    given = objectives.recovery(within="5s")
    assert given.judge(tale.until(45)).state == "open"
    found = given.judge(tale.until(50))
    assert (found.state, found.at) == ("broken", at(46) - 1)
    assert found.reason == "not recovered 5 s after the heal: ready 1 of 2"


@pytest.mark.parametrize(
    ("within", "seconds"),
    [
        ("liveness + grace", 13.0),
        ("readiness-out", 4.0),
        ("2 x startup + 1s", 17.0),
        ("readiness + 5s", 7.0),
    ],
)
def test_bounds(within: str, seconds: float) -> None:
    assert objectives.recovery(within=within).bound(calm().until().facts) == seconds


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: objectives.availability(at_least=99), "availability of at least 99"),
        (
            lambda: objectives.availability(during="later"),  # type: ignore[arg-type]
            "no stretch of a trial is called 'later'",
        ),
        (lambda: objectives.latency(at_most="soon"), '"soon" is no duration'),
        (lambda: objectives.latency(at_most="1s", percentile=0), "no percentile 0"),
        (lambda: objectives.recovery(within="readyness + 5s"), "readyness is no time of a man"),
        (lambda: shows.ready("workload", within="soon"), "soon is no time of a manifest"),
    ],
)
def test_bad_input_is_refused_when_it_is_declared(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert caught.value.remedy


def test_unbound_role_names_those_that_are_bound() -> None:
    with pytest.raises(UsageError, match=r"'database' is not bound .*entry, workload"):
        objectives.restarts("database").judge(calm().until())


# -- the property --------------------------------------------------------------------------------

ALL: list[Objective] = [
    objectives.restarts("workload", at_most=0),
    objectives.restarts("workload", at_most=2),
    objectives.ready("workload", at_least=1),
    objectives.ready("workload", at_least=2),
    objectives.availability(at_least=0.99, during="recovered"),
    objectives.availability(at_least=0.9, during="fault"),
    objectives.availability(at_least=0.95, during="all"),
    objectives.latency(at_most="800ms", during="recovered"),
    objectives.latency(at_most="1s", percentile=90, during="all"),
    objectives.recovery(within="readiness + 5s"),
    objectives.recovery(within="readiness + 12s"),
    objectives.self_healing("workload", within="15s"),
]
SEEN: list[Observable] = [
    shows.event("Unhealthy", on="workload"),
    shows.probe_failed("workload", "liveness"),
    shows.restarts("workload", every_replica=True),
    shows.restarts("workload", at_least=3),
    shows.ready("workload", equals=0, within="15s"),
    shows.terminated("workload", exit_code=137),
    shows.waiting("workload", reason="CrashLoopBackOff"),
    shows.stuck("workload", during="8s"),
]


def wild(seed: int) -> Tale:
    """Any trial: pods that come and go, answers that are slow, wrong or never come."""
    rng = random.Random(seed)
    troubles = [(begin := rng.uniform(18, 58), begin + rng.uniform(0.2, 12)) for _ in range(3)]
    how = [rng.choice(["slow", "hang", "fail", "some"]) for _ in troubles]
    draws = random.Random(seed + 1)
    chance: dict[float, float] = {}

    def answer(t: float) -> tuple[float, int]:
        took = 0.01
        luck = chance.setdefault(t, draws.random())
        for (begin, end), what in zip(troubles, how, strict=True):
            if begin <= t < end:
                if what == "fail" or (what == "some" and luck < 0.05):
                    return 0.01, 503
                took = {"slow": 0.5 + 4 * luck, "hang": 60.0}.get(what, took)
        return took, 200

    tale = calm(answer=answer, roles=(replace(WORKLOAD), ENTRY))
    for name in ("a", "b"):
        count, ready = 0, True
        for t in sorted(rng.uniform(20, 62) for _ in range(rng.randrange(7))):
            count += rng.random() < 0.4
            ready = rng.random() < 0.6
            waiting = "CrashLoopBackOff" if not ready and rng.random() < 0.3 else None
            last = {"exitCode": 137, "reason": "Error", "finishedAt": str(count)} if count else None
            tale.pod(t, name, ready=ready, restarts=count, waiting=waiting, last=last)
            if rng.random() < 0.5:
                tale.event(t, name, "Unhealthy")
        if rng.random() < 0.5:
            tale.pod(rng.uniform(40, 55), name, restarts=count)
        for reading in range(20, 60, 5):
            if draws.random() < 0.1:
                since = at(reading - 5)
                kind = "failed_liveness_probes"
                of = {"pod": name, "pod_uid": f"uid-{name}"}
                tale.add(reading, "sample", name=kind, value=1, since=since, **of)
    return tale


@pytest.mark.parametrize("seed", range(40))
def test_decided_answers_never_change_when_more_is_appended(seed: int) -> None:
    tale = wild(seed)
    answers: dict[int, tuple[str, int | None, float]] = {}
    sightings: dict[int, tuple[int, float]] = {}
    moments = [18 + 0.5 * step for step in range(108)]
    for t in [*moments, 80.0, None]:
        history = tale.until(t)
        for index, objective in enumerate(ALL):
            found = objective.judge(history)
            if index in answers:
                state, when, since = answers[index]
                assert (found.state, found.at) == (state, when), (
                    f"{objective.describe()}: {state} at {since} s, {found} at {t} s"
                )
            elif found.state != "open":
                answers[index] = (found.state, found.at, t or 99)
        for index, wanted in enumerate(SEEN):
            sighting = wanted.seen(history)
            if index in sightings:
                when, since = sightings[index]
                assert sighting is not None, f"{wanted.describe()}: seen at {since} s, gone at {t}"
                assert sighting.at == when
            elif sighting is not None:
                sightings[index] = (sighting.at, t or 99)
    # Where nothing was lost nothing can come back, and that is never decided.
    undecided = [each for index, each in enumerate(ALL) if index not in answers]
    assert all(each.name == "self-healing" and each.judge(history).holds for each in undecided)


def test_the_property_meets_every_kind_of_answer() -> None:
    """The tales above are worth something only if they break and meet every objective."""
    seen: set[tuple[int, str]] = set()
    for seed in range(40):
        history = wild(seed).until()
        seen |= {(i, objective.judge(history).state) for i, objective in enumerate(ALL)}
    assert {(i, state) for i in range(len(ALL)) for state in ("met", "broken")} <= seen
