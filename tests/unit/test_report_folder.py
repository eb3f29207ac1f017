"""A run folder becomes the report's data: times, traffic, differences, exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
from histories import FRAGILE, HARDENED, INTERRUPTED, NOT_FELT, STARVED, Story, write_run

from harness.errors import HistoryError
from harness.judgement.verdict import Result, exit_code
from harness.report.describe import why_exit
from harness.report.folder import Source, load_run


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Source]:
    def make(*stories: Story, **facts: object) -> Source:
        return load_run(write_run(tmp_path / "run", *stories, **facts))

    return make


def test_times_count_from_the_injection(read: Callable[..., Source]) -> None:
    (trial,) = read(FRAGILE).report.trials
    phases = {p.name: p for p in trial.phases}
    assert phases["inject"].begin_s == 0
    assert phases["control"].begin_s == pytest.approx(-12.0, abs=0.01)
    restart = next(s for s in trial.shows if "every replica" in s.what)
    assert restart.at_s == pytest.approx(62.6, abs=0.1)


def test_traffic_is_told_before_under_and_after_the_fault(read: Callable[..., Source]) -> None:
    (trial,) = read(FRAGILE).report.trials
    control, fault, recovery = trial.traffic
    assert (control.during, fault.during, recovery.during) == ("control", "fault", "recovery")
    assert control.intended == 40 * 12
    assert control.availability == 1
    assert fault.availability is not None
    assert 0.5 < fault.availability < 0.7
    assert fault.p99_s == pytest.approx(10, abs=0.1)
    assert fault.outcomes["503"] > 100


def test_who_had_the_machine_is_told(read: Callable[..., Source]) -> None:
    (trial,) = read(HARDENED).report.trials
    told = "others had 10% of this machine's CPU for 15 s, and 50% was idle at the worst"
    assert trial.notes == [f"while it was watched, {told}"]


def test_a_trial_without_a_verdict_is_inconclusive_and_says_where_it_ended(
    read: Callable[..., Source],
) -> None:
    (trial,) = read(INTERRUPTED).report.trials
    assert (trial.verdict, trial.blame) == ("inconclusive", "harness")
    assert "interrupted in phase sustain" in trial.deciding
    assert trial.phases[-1].end_s is None


def test_trials_that_a_killed_run_did_not_list_are_reported(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FRAGILE, HARDENED, trials=[])
    assert {t.variant for t in load_run(folder).report.trials} == {"fragile", "hardened"}


def test_one_trials_folder_is_reported_by_itself(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FRAGILE) / "liveness-checks-database__fragile"
    report = load_run(folder).report
    assert [t.verdict for t in report.trials] == ["failed"]
    assert report.headline == "As expected"


def test_fields_that_differ_are_named_with_both_values(read: Callable[..., Source]) -> None:
    (comparison,) = read(FRAGILE, HARDENED).report.comparisons
    by_path = {d.path: d for d in comparison.differences}
    path = ".spec.template.spec.containers[checkout-api].livenessProbe.httpGet.path"
    assert by_path[path].values == {"fragile": "/healthz/db", "hardened": "/healthz/live"}


@pytest.mark.parametrize("by_outcome", [True, False])
@pytest.mark.parametrize("residue", [True, False])
@pytest.mark.parametrize(
    "stories", [(FRAGILE, HARDENED), (HARDENED,), (FRAGILE,), (FRAGILE, NOT_FELT), (STARVED,)]
)
def test_the_explained_exit_code_is_the_one_that_the_rule_gives(
    read: Callable[..., Source], stories: Sequence[Story], residue: bool, by_outcome: bool
) -> None:
    trials = read(*stories).report.trials
    code, why = why_exit(trials, judged_by="outcome" if by_outcome else "verdict", residue=residue)
    # `exit_code` looks at verdict and outcome only, which trials of a report have too.
    assert code == exit_code(cast(list[Result], trials), by_outcome=by_outcome, residue=residue)
    assert why


def test_a_users_subject_is_headlined_by_verdict(read: Callable[..., Source]) -> None:
    report = read(FRAGILE, by="verdict", subject={"directory": "/home/me/shop"}).report
    assert report.headline == "shop does not survive 1 of 1 scenario"
    assert report.run.exit_code == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "is not a folder"),
        (lambda folder: folder.mkdir(), "holds neither run.json nor a trial"),
    ],
)
def test_what_is_no_run_is_refused_with_a_remedy(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "nothing"
    make(folder)
    with pytest.raises(HistoryError, match=message) as caught:
        load_run(folder)
    assert "run folder" in caught.value.remedy


def test_a_verdict_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", HARDENED)
    (folder / "liveness-checks-database__hardened" / "verdict.json").write_text("{")
    with pytest.raises(HistoryError, match=r"verdict\.json is not JSON"):
        load_run(folder)
