"""Histories on one time axis: intervals, steps, felt stretches, and bounds on size."""

from __future__ import annotations

from pathlib import Path

import pytest
from histories import FRAGILE, HARDENED, LONG, NOT_FELT, Story, variant_of, write_trial

from harness.history.facts import Json
from harness.history.records import SECOND
from harness.report.evidence import evidence
from harness.report.folder import TrialSource, read_trial
from harness.report.timeline import MAX_INTERVALS, interval_s, quantity_of, thin, timeline


def trial(tmp_path: Path, story: Story) -> TrialSource:
    return read_trial(write_trial(tmp_path, story))


def drawn(source: TrialSource) -> Json:
    return timeline(source.history, source.report, source.zero)


def test_percentiles_jump_in_the_interval_of_the_injection(tmp_path: Path) -> None:
    requests = drawn(trial(tmp_path, HARDENED))["requests"]
    before = requests["t"].index(-2.0)
    after = requests["t"].index(2.0)
    assert requests["p50"][before] < 30
    assert requests["p50"][after] == pytest.approx(3080, rel=0.05)
    assert set(requests["count"][5:-5]) == {40}


def test_pods_go_down_one_by_one_and_restarts_count_up(tmp_path: Path) -> None:
    data = drawn(trial(tmp_path, FRAGILE))
    times, ready = data["ready"]["workload"]
    down = [t for t, n in zip(times, ready, strict=True) if 0 < t < 70 and n < 3]
    assert down == pytest.approx([41.2, 52.4, 62.6], abs=0.05)
    assert data["restarts"]["workload"][1][-1] == 6
    assert data["replicas"] == {"workload": 3}


def test_the_fault_is_asked_and_achieved(tmp_path: Path) -> None:
    data = drawn(trial(tmp_path, HARDENED))
    (measured,) = data["measured"]
    assert (measured["key"], measured["asked"]) == ("seconds", 3.0)
    ((begin, end),) = data["felt"]
    assert begin < 6
    assert end > 90
    assert data["fault"] == pytest.approx([0, 101.5], abs=0.1)


def test_a_fault_that_was_not_felt_has_no_felt_stretch(tmp_path: Path) -> None:
    assert drawn(trial(tmp_path, NOT_FELT))["felt"] == []


def test_memory_keeps_the_peak_of_an_interval_and_the_limit(tmp_path: Path) -> None:
    memory = drawn(trial(tmp_path, HARDENED))["memory"]
    assert memory["limit"] == 256 * 1024 * 1024
    assert len(memory["lines"]) == 3
    assert (
        drawn(trial(tmp_path, variant_of(HARDENED, variant="bare", memory=False)))["memory"] is None
    )


@pytest.mark.parametrize(
    ("seconds", "interval"), [(150, 1), (1800, 1), (3600, 2), (86_400, 60), (10_000_000, 600)]
)
def test_intervals_grow_with_the_trial(seconds: float, interval: int) -> None:
    assert interval_s(seconds) == interval


def test_no_series_of_thirty_minutes_is_longer_than_a_screen_can_show(tmp_path: Path) -> None:
    data = drawn(trial(tmp_path, variant_of(LONG, rate=5)))
    assert len(data["requests"]["t"]) <= MAX_INTERVALS
    assert sum(data["requests"]["count"]) == pytest.approx(5 * 1790, rel=0.01)
    assert all(len(m["t"]) <= MAX_INTERVALS for m in data["measured"])


def test_thinning_keeps_first_and_last() -> None:
    assert thin(range(10), 4) == [0, 3, 6, 9]
    assert thin([1, 2], 4) == [1, 2]


def test_a_measured_number_finds_the_asked_one() -> None:
    assert quantity_of([{"ok": True, "seconds": 3.1}], {"seconds_at_least": 3}) == (
        "seconds",
        "seconds_at_least",
    )
    assert quantity_of([{"peak": 5}], {"bytes": 9}) == ("peak", None)
    assert quantity_of([{"ok": True, "error": "reset"}], {}) == (None, None)


def test_repeated_events_are_one_row_with_their_count(tmp_path: Path) -> None:
    source = trial(tmp_path, FRAGILE)
    found = evidence(source.history, source.zero, ["database 3s slower"])
    first = found.probes[0]
    assert (first.reason, first.count, first.warning) == ("Unhealthy", 3, True)
    assert first.last_s - first.first_s == pytest.approx(40.1, abs=0.1)
    assert {row.reason for row in found.events} >= {"BackOff", "Started"}
    assert [m.felt for m in found.measurements] == [False, True, False]


def test_failed_probes_that_a_kubelet_counted_are_told_beside_the_events(tmp_path: Path) -> None:
    source = trial(tmp_path, FRAGILE)
    of = {"name": "failed_liveness_probes", "pod": "a", "pod_uid": "u", "container": "api"}
    for second, count in ((30, 2), (35, 5)):
        t = source.zero + second * SECOND
        source.history.add({"t": t, "type": "sample", "value": count, "since": t - SECOND, **of})
    row = evidence(source.history, source.zero, []).probes[-1]
    assert (row.first_s, row.last_s, row.count) == (30, 35, 5)
    assert (row.object, row.message) == ("Pod/a", "failed liveness probes of container api")


def test_audit_stands_at_the_api_servers_time_not_at_its_reading(tmp_path: Path) -> None:
    source = trial(tmp_path, HARDENED)
    found = evidence(source.history, source.zero, [])
    deployed = next(p for p in source.report.phases if p.name == "deploy").begin_s
    assert found.audit[0].verb == "create"
    assert found.audit[0].at_s == pytest.approx(deployed + 0.2, abs=0.02)


def test_a_cap_says_what_it_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.report.evidence.MAX_LOGS", 2)
    source = trial(tmp_path, FRAGILE)
    found = evidence(source.history, source.zero, [])
    assert len(found.logs) == 2
    assert found.left_out == ["2 of 3 logs are shown; all are in the run folder"]
