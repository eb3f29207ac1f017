"""Where the time of a run went: what stood side by side, and what a trial cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from histories import FRAGILE, HARDENED, write_run

from harness.bench.trials import Trial, cpu_seconds, measure, side_by_side


def trial(begun: float, over: float, *, spoiled: bool = False, machine: Any = ()) -> Trial:
    return Trial(begun=begun, over=over, phases={}, machine=machine, spoiled=spoiled)


def test_trials_count_where_they_were_by_the_part_of_their_time() -> None:
    # 60 s together, then the second one's other half alone.
    told = side_by_side([trial(0, 60), trial(0, 120)])
    assert told[2] == {"minutes": 1.0, "trials_an_hour": 90, "spoiled_by_the_host": 0.0}
    assert told[1] == {"minutes": 1.0, "trials_an_hour": 30, "spoiled_by_the_host": 0.0}


def test_what_the_host_spoiled_is_time_without_a_verdict() -> None:
    told = side_by_side([trial(0, 60, spoiled=True), trial(0, 60)])
    assert told == {2: {"minutes": 1.0, "trials_an_hour": 60, "spoiled_by_the_host": 0.5}}


def test_minutes_in_which_nothing_ran_are_nobodys() -> None:
    assert list(side_by_side([trial(0, 60), trial(90, 150)])) == [1]


def test_the_cpu_of_a_trial_is_what_all_used_between_the_first_reading_and_the_last() -> None:
    def reading(t: int, own: float, node: float) -> Any:
        return {"t": t, "own": own, "nodes": {"n": {"seconds": node}}}

    first = trial(0, 60, machine=[reading(1, 10.0, 500.0), reading(3, 14.0, 520.0)])
    second = trial(0, 60, machine=[reading(2, 12.0, 510.0), reading(4, 20.0, 550.0)])
    assert cpu_seconds([first, second]) == pytest.approx((10 + 50) / 2)


def test_a_runs_folder_is_all_that_it_takes(tmp_path: Path) -> None:
    told = measure(write_run(tmp_path / "run", FRAGILE, HARDENED))
    assert told["trials"] == 2
    assert told["median_of_phases"]["control"] > 0
    assert 0 < told["trials_an_hour"] < 1000
