"""The rule in reading order, blame, outcomes and exit codes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judged import SLOW, WORKLOAD, Says, Tale, at, calm, declared

from harness import objectives
from harness.declare import Expect, Finding, Objective
from harness.history.facts import FaultFacts
from harness.judgement.exposure import exposure_needed, felt
from harness.judgement.verdict import Result, decided, exit_code, judge, settled
from harness.objectives import shows

MET, BROKEN, OPEN = (Finding(s, f"it is {s}") for s in ("met", "broken", "open"))
SURVIVES, FAILS = Expect("survived"), Expect("failed")


def ruling(tale: Tale, *given: Says, expect: Expect = SURVIVES) -> Result:
    return judge(tale.until(), given or [Says(MET)], expect)


def test_calm_trial_survives() -> None:
    result = ruling(calm())
    assert (result.verdict, result.blame, result.reasons) == ("survived", None, ("it is met",))


def test_problem_comes_first_and_names_whose_fault_it_is() -> None:
    tale = calm(answer=lambda t: (0.0, -1))
    tale.problem(30, "host", "no space left")
    tale.problem(31, "subject", "second")
    result = ruling(tale, Says(BROKEN, BROKEN))
    assert (result.verdict, result.blame) == ("inconclusive", "host")
    assert result.reasons == ("no space left", "second")


@pytest.mark.parametrize("blame", ["harness", "host", "subject"])
def test_blame_of_a_problem(blame: str) -> None:
    tale = calm()
    tale.problem(30, blame, "x")
    assert ruling(tale).blame == blame


def test_control_that_did_not_take_place() -> None:
    tale = calm()
    del tale.edges["control"]
    result = ruling(tale, Says(BROKEN))
    assert (result.verdict, result.blame) == ("inconclusive", "harness")
    assert result.reasons == ("the control run did not take place",)


def test_control_that_was_cut_off() -> None:
    tale = calm()
    tale.edges["control"] = (10.0, None)
    assert ruling(tale, Says(BROKEN)).reasons == ("the control run did not take place",)


@pytest.mark.parametrize("outcome", [-1, -3, -8])
def test_load_that_nobody_answered_is_the_harness_s_fault(outcome: int) -> None:
    result = ruling(calm(answer=lambda t: (0.01, outcome)), Says(BROKEN, BROKEN))
    assert (result.verdict, result.blame) == ("inconclusive", "harness")
    assert "the load never arrived" in result.deciding


def test_load_that_did_not_run() -> None:
    assert "the load never arrived" in ruling(calm(load=(0.0, 1.0))).deciding


@pytest.mark.parametrize(("others", "verdict"), [(0.4, "failed"), (0.6, "inconclusive")])
def test_what_broke_while_others_had_the_machine_is_the_host_s_fault(
    others: float, verdict: str
) -> None:
    tale = calm()
    tale.machine(others)
    broken = Finding("broken", "it is broken", at(35))
    result = ruling(tale, Says(broken), expect=FAILS)
    assert result.verdict == verdict
    assert result.blame == (None if verdict == "failed" else "host")
    assert result.reasons[-1] == "it is broken"
    assert (verdict == "failed") != ("the machine was taken" in result.deciding)


def test_what_broke_before_others_took_the_machine_is_a_failure() -> None:
    tale = calm()
    tale.machine(0.9, since=30)
    early, late = (Says(Finding("broken", "it is broken", at(t))) for t in (22, 38))
    assert ruling(tale, late, expect=FAILS).verdict == "inconclusive"
    assert ruling(tale, late, early, expect=FAILS).verdict == "failed"


def test_what_held_although_others_had_the_machine_is_good() -> None:
    tale = calm()
    tale.machine(0.9)
    assert ruling(tale).verdict == "survived"


def test_a_control_run_that_others_broke_is_not_the_subject_s_fault() -> None:
    tale = calm()
    tale.edges["control"] = (45.0, 50.0)
    tale.machine(0.6)
    result = ruling(tale, Says(BROKEN, BROKEN))
    assert (result.verdict, result.blame) == ("inconclusive", "host")
    assert result.reasons[-1] == "before any fault: it is broken"


def test_starved_generator_in_control_is_the_host_s_fault() -> None:
    result = ruling(calm(started_late=0.06), Says(BROKEN, BROKEN))
    assert (result.verdict, result.blame) == ("inconclusive", "host")
    assert "fell behind" in result.deciding
    assert "lag p99 60.0 ms" in result.deciding


def test_starved_generator_in_the_fault_is_the_host_s_fault_even_if_an_objective_broke() -> None:
    # From second 25 on one of ten arrivals could not be sent.
    tale = calm(answer=lambda t: (0.0, -5) if t > 25 and round(t * 10) % 10 == 0 else (0.01, 200))
    result = ruling(tale, Says(BROKEN))
    assert (result.verdict, result.blame) == ("inconclusive", "host")
    assert "arrivals sent" in result.deciding


def test_lag_at_the_limit_is_still_a_load() -> None:
    assert ruling(calm(started_late=0.049)).verdict == "survived"


def test_subject_that_did_not_hold_the_control_run_is_to_blame() -> None:
    result = ruling(calm(), Says(BROKEN, BROKEN))
    assert (result.verdict, result.blame) == ("inconclusive", "subject")
    assert result.reasons == ("before any fault: it is broken",)


def test_control_that_nobody_can_judge_is_not_held() -> None:
    result = ruling(calm(), Says(MET, OPEN))
    assert (result.verdict, result.blame) == ("inconclusive", "harness")


def test_fault_that_was_never_felt_is_the_harness_s_fault() -> None:
    tale = calm()
    for record in tale.records:
        if record["type"] == "measurement":
            record["felt"], record["note"] = False, "took 0.02 s"
    result = ruling(tale, Says(BROKEN))
    assert (result.verdict, result.blame) == ("inconclusive", "harness")
    assert result.reasons == ("database 3s slower was not felt: took 0.02 s",)


def test_fault_that_was_never_measured_was_not_felt() -> None:
    tale = calm()
    tale.records = [r for r in tale.records if r["type"] != "measurement"]
    result = ruling(tale)
    assert "never measured after injection" in result.deciding
    assert (result.verdict, result.blame) == ("inconclusive", "harness")


def test_every_fault_must_be_felt() -> None:
    cache = replace(SLOW, target="cache", describe="cache 3s slower")
    result = ruling(calm(faults=(SLOW, cache)), Says(BROKEN), expect=FAILS)
    assert result.deciding == (
        "cache 3s slower was never measured after injection, so nothing shows that it was felt"
    )


def test_broken_objective_fails_however_short_the_exposure() -> None:
    result = ruling(calm(), Says(MET), Says(BROKEN, needs=1000), expect=FAILS)
    assert (result.verdict, result.blame) == ("failed", None)
    assert result.reasons == ("it is broken",)


def test_survival_needs_exposure() -> None:
    # Felt from second 21 to 39: 18 s, which is 1.5 x 12 s.
    assert ruling(calm(), Says(MET, needs=12.0)).verdict == "survived"
    result = ruling(calm(), Says(MET, needs=12.1))
    assert (result.verdict, result.blame) == ("inconclusive", "harness")
    assert "felt for 18 s of the 18 s" in result.deciding
    assert "as the test wants" in result.deciding


def test_survival_needs_every_objective_met() -> None:
    result = ruling(calm(), Says(MET), Says(OPEN))
    assert (result.verdict, result.blame) == ("inconclusive", "harness")
    assert result.reasons == ("still open: it is open",)


def test_nothing_recorded_at_all() -> None:
    tale = Tale(edges={}, load=(100, 100))
    result = ruling(tale)
    assert (result.verdict, result.blame) == ("inconclusive", "harness")


# -- felt and exposure ---------------------------------------------------------------------------


def felt_at(*moments: tuple[float, bool]) -> Tale:
    tale = Tale()
    for t, was_felt in moments:
        tale.measure(t, was_felt)
    return tale


def test_felt_is_the_longest_stretch_without_a_break() -> None:
    tale = felt_at((21, True), (24, True), (25, False), (26, True), (33, True), (34, False))
    got = felt(tale.until(), 0)
    assert (got.seconds, got.since) == (7.0, at(26))


def test_felt_before_injection_and_after_the_heal_counts_not() -> None:
    got = felt(felt_at((15, True), (30, True), (45, True)).until(), 0)
    assert (got.seconds, got.since) == (0.0, at(30))
    assert not felt(felt_at((15, True), (45, True)).until(), 0).ever


def test_felt_is_per_fault() -> None:
    tale = felt_at((21, True), (31, True))
    tale.measure(25, False, fault=1)
    assert felt(tale.until(), 0).seconds == 10
    assert not felt(tale.until(), 1).ever


def test_exposure_is_one_and_a_half_times_the_slowest_pair_with_its_arithmetic() -> None:
    needed = exposure_needed(calm().until(), declared(), 0)
    assert needed.seconds == pytest.approx(1.5 * 10)
    assert needed.why == "(restarts: 3 x 3 s period + 1 s timeout) x 1.5"


def test_exposure_without_liveness_goes_by_readiness_and_without_both_by_a_floor() -> None:
    slow = [objectives.restarts("workload")]
    roles = (replace(WORKLOAD, liveness_s=None),)
    assert exposure_needed(calm(roles=roles).until(), slow, 0).seconds == pytest.approx(6)
    roles = (replace(WORKLOAD, liveness_s=None, readiness_out_s=None),)
    needed = exposure_needed(calm(roles=roles).until(), slow, 0)
    assert needed.seconds == pytest.approx(15)
    assert "workload has no probe" in needed.why


def test_exposure_of_objectives_that_name_no_time() -> None:
    assert exposure_needed(calm().until(), [Says(MET, needs=None)], 0).seconds == 5.0


DATABASE = replace(WORKLOAD, role="database", workloads=("Deployment/postgres",), liveness_s=40.0)


def on_the_way(target: str) -> FaultFacts:
    return replace(SLOW, target=target, spares_target=True)


def test_each_fault_is_felt_as_long_as_its_own_pairs_need() -> None:
    # The database's own probe takes 40 s, and a slow way to it is nothing to that probe.
    faults = (on_the_way("database"), replace(SLOW, name="hang", target="database"))
    tale = calm(roles=(WORKLOAD, DATABASE), faults=faults)
    tale.deployment("postgres")
    tale.pod(5, "postgres", of="postgres")
    tale.measure(21, True, fault=1)
    asked = [objectives.restarts("workload"), objectives.restarts("database")]
    needed = [exposure_needed(tale.until(), asked, fault).seconds for fault in (0, 1)]
    assert needed == pytest.approx([1.5 * 10, 1.5 * 40])
    # Felt for 18 s, the first has had its time; the second has not.
    result = judge(tale.until(), asked, SURVIVES)
    assert [reason for reason in result.reasons if "of exposure" in reason] == [
        "database 3s slower was felt for 0 s of the 60 s of exposure that survival needs "
        "((restarts: 3 x 3 s period + 1 s timeout) x 1.5)"
    ]
    assert [f["exposure"]["seconds"] for f in result.to_json()["felt"]] == pytest.approx(needed)
    assert result.to_json()["exposure"]["seconds"] == pytest.approx(60)


@pytest.mark.parametrize(
    "asked",
    [
        objectives.restarts("workload"),
        objectives.ready("workload"),
        objectives.availability(during="fault"),
    ],
)
def test_an_objective_that_the_fault_cannot_reach_asks_for_nothing(asked: Objective) -> None:
    facts = calm(roles=(WORKLOAD, DATABASE)).until().facts
    assert asked.exposure(facts, on_the_way("workload")) is None
    assert asked.exposure(facts, on_the_way("database")) is not None
    assert asked.exposure(facts, on_the_way("nobody's")) is not None
    assert asked.exposure(facts, replace(SLOW, target="workload")) is not None


# -- ending phases early -------------------------------------------------------------------------


def test_fault_is_kept_up_until_exposure() -> None:
    given = [Says(OPEN, needs=10.0)]
    assert not settled(calm().until(35.5), given, SURVIVES)
    assert settled(calm().until(36.5), given, SURVIVES)


def test_fault_is_kept_up_until_a_survivor_showed_what_cured_it() -> None:
    given = [Says(OPEN, needs=10.0)]
    wanted = Expect("survived", [shows.restarts("workload")])
    tale = calm()
    assert not settled(tale.until(36.5), given, wanted)
    tale.pod(36, "a", restarts=1)
    assert settled(tale.until(36.5), given, wanted)


def test_fault_is_kept_up_until_all_evidence_is_in() -> None:
    wanted = Expect("failed", [shows.restarts("workload")])
    tale = calm()
    tale.pod(30, "a", restarts=1, ready=False)
    given = [Says(BROKEN, needs=100)]
    assert not settled(tale.until(29.5), given, wanted)
    assert settled(tale.until(30.5), given, wanted)
    assert not settled(tale.until(30.5), [Says(OPEN, needs=100)], wanted)


def test_unfelt_fault_never_settles() -> None:
    assert not settled(calm().until(20.7), [Says(BROKEN, needs=0)], FAILS)


def test_recovery_is_over_when_nothing_more_is_to_be_waited_for() -> None:
    tale = calm()
    assert not decided(tale.until(43), declared())
    # Ready and served from the heal on; the stretch `recovered` is then 5 s long.
    assert decided(tale.until(46.5), declared())


# -- outcomes ------------------------------------------------------------------------------------


def test_as_expected() -> None:
    assert ruling(calm()).outcome == "as expected"
    assert ruling(calm(), Says(BROKEN), expect=FAILS).outcome == "as expected"


def test_wrong_verdict() -> None:
    result = ruling(calm(), Says(BROKEN))
    assert (result.verdict, result.outcome) == ("failed", "wrong verdict")
    assert ruling(calm(), expect=FAILS).outcome == "wrong verdict"


def test_wrong_reason_names_what_was_not_shown() -> None:
    wanted = Expect(
        "failed",
        [shows.ready("workload", equals=2), shows.restarts("workload", every_replica=True)],
    )
    tale = calm()
    tale.pod(24, "a", ready=False)
    tale.pod(25, "a", ready=True)
    result = ruling(tale, Says(BROKEN), expect=wanted)
    assert (result.verdict, result.outcome) == ("failed", "wrong reason")
    assert result.deciding == "did not show a restart of every replica of workload: it is broken"
    assert result.reasons[-1] == "not shown: a restart of every replica of workload"
    assert [sighting is not None for _, sighting in result.shows] == [True, False]


def test_survival_for_a_reason_that_was_not_shown_is_a_wrong_reason() -> None:
    result = ruling(calm(), expect=Expect("survived", [shows.restarts("workload")]))
    assert (result.verdict, result.outcome) == ("survived", "wrong reason")


def test_inconclusive_is_no_outcome_that_could_be_expected() -> None:
    assert ruling(calm(), Says(OPEN), expect=FAILS).outcome == "inconclusive"


def result(verdict: str, outcome: str) -> Result:
    base = ruling(calm())
    return replace(base, verdict=verdict, outcome=outcome)  # type: ignore[arg-type]


GOOD = ("failed", "as expected")
FINE = ("survived", "as expected")
WRONG = ("survived", "wrong verdict")
REASON = ("failed", "wrong reason")
NONE = ("inconclusive", "inconclusive")


@pytest.mark.parametrize(
    ("given", "by_outcome", "residue", "code"),
    [
        ([GOOD, FINE], True, False, 0),
        ([GOOD, WRONG], True, False, 1),
        ([GOOD, REASON], True, False, 1),
        ([WRONG, NONE, GOOD], True, False, 3),
        ([NONE], True, False, 3),
        ([GOOD], True, True, 3),
        ([WRONG], True, True, 3),
        ([FINE], False, False, 0),
        ([GOOD, FINE], False, False, 1),
        ([WRONG], False, False, 0),
        ([GOOD, NONE], False, False, 3),
        ([FINE], False, True, 3),
    ],
)
def test_exit_codes(
    given: list[tuple[str, str]], by_outcome: bool, residue: bool, code: int
) -> None:
    results = [result(*each) for each in given]
    assert exit_code(results, by_outcome=by_outcome, residue=residue) == code
