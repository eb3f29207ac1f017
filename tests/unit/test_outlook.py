"""How long a run will take: told before it begins, and told better the more of it is over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.report.describe import about
from harness.runs.outlook import REMOVAL_S, Outlook


def job(variant: str, seconds: float, *, alone: bool = False) -> Any:
    each = SimpleNamespace(
        scenario=SimpleNamespace(slug="slow"),
        variant=variant,
        placement=SimpleNamespace(exclusive=alone),
    )
    return SimpleNamespace(plan=each, seconds=seconds)


def test_those_side_by_side_take_half_and_those_alone_all_of_their_time() -> None:
    jobs = [job("a", 60), job("b", 60), job("c", 40), job("d", 100, alone=True)]
    assert Outlook(jobs, 2).left(0) == pytest.approx(80 + 100 + REMOVAL_S)


def test_the_longest_one_is_never_cut_in_two() -> None:
    assert Outlook([job("a", 300), job("b", 20)], 2).left(0) == pytest.approx(300 + REMOVAL_S)


def test_what_ran_slower_than_expected_makes_the_rest_longer() -> None:
    outlook = Outlook([job("a", 60), job("b", 60)], 1)
    outlook.begin(("slow", "a"), 0)
    outlook.over(("slow", "a"), 120)
    # Half as slow again as what was expected: one that is over, and one that is not told of yet.
    assert outlook.left(120) == pytest.approx(60 * 1.5 + REMOVAL_S)


def test_what_runs_counts_for_what_is_left_of_it() -> None:
    outlook = Outlook([job("a", 60), job("b", 60)], 1)
    outlook.begin(("slow", "a"), 10)
    assert outlook.left(30) == pytest.approx(40 + 60 + REMOVAL_S)
    assert outlook.left(500) == pytest.approx(60 + REMOVAL_S)


def test_one_that_is_tried_again_is_still_to_come_and_comes_alone() -> None:
    outlook = Outlook([job("a", 60), job("b", 60)], 2)
    for name in ("a", "b"):
        outlook.begin(("slow", name), 0)
        outlook.over(("slow", name), 60)
    assert outlook.left(60) == pytest.approx(REMOVAL_S)
    outlook.again(("slow", "a"))
    assert outlook.left(60) == pytest.approx(60 + REMOVAL_S)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(2, "about 10 s"), (84, "about 80 s"), (125, "about 2 min"), (5040, "about 1 h 24 min")],
)
def test_an_estimate_looks_like_one(seconds: float, told: str) -> None:
    assert about(seconds) == told
