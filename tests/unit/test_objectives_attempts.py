"""What follows from attempts: an answer in every pod, and none of silence or of what is allowed
to anybody."""

from __future__ import annotations

import pytest
from judged import Says, Tale, at, calm

from harness import objectives
from harness.declare import Expect, Finding, Objective, Observable
from harness.judgement.verdict import judge, settled
from harness.objectives import shows

REFUSED = objectives.refused("workload")
EVERY_POD = ("a", "b")


def attempt(
    tale: Tale,
    t: float,
    by: str,
    answer: str = "refused",
    *,
    code: str = "EROFS",
    role: str = "workload",
    permitted: bool = False,
) -> None:
    said = {"answer": answer, "code": code, "text": "no file in /tmp (uid 1000)"}
    tale.add(
        t,
        "attempt",
        name="payload-drop",
        role=role,
        by=by,
        target="a program",
        permitted=permitted,
        **said,
    )


def told(*answers: tuple[float, str, str]) -> Tale:
    tale = calm()
    for t, by, answer in answers:
        attempt(tale, t, by, answer)
    return tale


def found(tale: Tale, until: float | None = None) -> Finding:
    return REFUSED.judge(tale.until(until))


def test_met_at_the_heal_when_every_pod_refused() -> None:
    tale = told((25, "a", "refused"), (26, "b", "refused"))
    before = found(tale, 30)
    assert (before.state, before.holds, before.before_heal) == ("open", True, False)
    assert found(tale) == Finding("met", "2 of 2 attempts refused: a program", at(40))


def test_broken_at_the_first_that_was_allowed() -> None:
    tale = told((25, "a", "refused"), (26, "b", "allowed"), (27, "a", "allowed"))
    got = found(tale)
    assert (got.state, got.at) == ("broken", at(26))
    assert got.reason == "a program was not refused to b: no file in /tmp (uid 1000)"
    assert found(tale, 25.5).state == "open"


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [(25.0, "a", "refused")],
        [(25.0, "a", "refused"), (26.0, "b", "silent")],
        [(25.0, "a", "refused"), (15.0, "b", "refused")],
        [(25.0, "a", "refused"), (40.5, "b", "refused")],
    ],
    ids=["nothing tried", "one pod not tried", "silence", "before the fault", "after the heal"],
)
def test_without_a_refusal_of_every_pod_under_the_fault_it_stays_open(
    answers: list[tuple[float, str, str]],
) -> None:
    tale = told(*answers)
    assert found(tale).state == "open"
    under_fault = found(tale, 39)
    assert (under_fault.state, under_fault.before_heal) == ("open", True)


def test_what_anybody_may_or_somebody_else_was_allowed_breaks_nothing_and_proves_nothing() -> None:
    tale = calm()
    for pod in EVERY_POD:
        attempt(tale, 25, pod, "allowed", permitted=True)
        attempt(tale, 25, pod, "refused", permitted=True)
        attempt(tale, 26, pod, "allowed", role="entry")
    assert found(tale).state == "open"


def test_a_pod_that_came_or_went_is_not_asked_for_and_one_that_stays_is() -> None:
    tale = told((25, "a", "refused"))
    tale.pod(30, "b", ready=False, deleting=True)
    tale.pod(31, "c", ready=False, verb="ADDED")
    assert found(tale).state == "met"
    tale.pod(32, "c")
    assert found(tale).state == "open"


def test_what_is_refused_at_the_door_is_not_asked_of_the_pods() -> None:
    tale = calm()
    assert found(tale).reason == "0 of 0 attempts refused"
    attempt(tale, 25, "a pipeline")
    assert found(tale).state == "met"
    attempt(tale, 26, "an operator", "silent")
    assert found(tale).state == "open"


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (shows.refused("workload"), True),
        (shows.refused("workload", code="EROFS", says="uid 1000"), True),
        (shows.refused("workload", code="EPERM"), False),
        (shows.refused("workload", says="uid 0"), False),
        (shows.refused("entry"), False),
        (shows.allowed("workload"), False),
    ],
)
def test_an_answer_is_shown_by_its_code_and_its_words(wanted: Observable, seen: bool) -> None:
    tale = told((15, "a", "allowed"), (25, "b", "refused"), (26, "a", "refused"))
    attempt(tale, 24, "a", "allowed", permitted=True)
    got = wanted.seen(tale.until())
    assert (got is not None) == seen
    if got is not None:
        text = "a program refused to b: no file in /tmp (uid 1000) 5 s after injection"
        assert (got.at, got.text) == (at(25), text)


def test_the_fault_is_kept_up_until_every_pod_was_tried() -> None:
    tale = told((25, "a", "refused"))
    judged_by: list[Objective] = [REFUSED, Says(Finding("met", "served"))]
    assert not settled(tale.until(39), judged_by, Expect("survived"))
    attempt(tale, 26, "b")
    assert settled(tale.until(39), judged_by, Expect("survived"))


def test_whoever_had_the_machine_nobody_was_allowed_anything_by_that() -> None:
    tale = told((25, "a", "refused"), (26, "b", "allowed"))
    tale.machine(0.9)
    slow = Says(Finding("broken", "slow", at(26)))
    assert judge(tale.until(), [slow], Expect("failed")).blame == "host"
    assert judge(tale.until(), [REFUSED], Expect("failed")).verdict == "failed"


def test_with_every_pod_refusing_it_survives_and_with_one_silent_nothing_follows() -> None:
    tale = told((25, "a", "refused"), (26, "b", "silent"))
    result = judge(tale.until(), [REFUSED], Expect("survived"))
    assert (result.verdict, result.blame) == ("inconclusive", "harness")
    assert "1 of 2 attempts refused: a program" in result.deciding
    attempt(tale, 27, "b")
    assert judge(tale.until(), [REFUSED], Expect("survived")).verdict == "survived"
