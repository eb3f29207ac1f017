"""The arrivals that a load plans and the figures computed from what it recorded: no process."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from load_target import of_endpoint

from harness.errors import HistoryError
from harness.history import outcomes
from harness.history.arrivals import SECOND, Due, Header, Schedule
from harness.history.requests import COLUMNS, Requests
from harness.history.requests_tail import RequestsTail

MS = 1_000_000
HEADER = {
    "started": 1_000 * SECOND,
    "endpoints": ["GET /", "POST /orders"],
    "weights": [3.0, 1.0],
    "rate": 40.0,
    "arrivals": "constant",
    "seed": 7,
    "open_loop": True,
    "timeout_s": 10.0,
}
T0 = 1_000 * SECOND


def requests(rows: Iterable[tuple[int, int, int]], **more: Any) -> Requests:
    """From (intended, took, status), in ns after T0; started without lag."""
    table = list(rows)
    intended = [T0 + t for t, _, _ in table]
    end = [T0 + t + took for t, took, _ in table]
    return Requests.of(intended, intended, end, [0] * len(table), [s for *_, s in table], **more)


def write(path: Path, *lines: dict[str, Any]) -> None:
    with path.open("ab") as file:
        file.write(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def batch(*rows: tuple[int, int, int, int, int]) -> dict[str, Any]:
    return {"v": 1, **dict(zip(COLUMNS, (list(c) for c in zip(*rows, strict=True)), strict=True))}


def health(at: int, sent: int) -> dict[str, Any]:
    return {"health": {"at": at, "scheduled": sent, "sent": sent}}


# -- arrivals ------------------------------------------------------------------------------------


def test_constant_arrivals_are_evenly_spaced_and_do_not_drift() -> None:
    offsets = Schedule(rate=30).offsets(3600 * SECOND)
    assert len(offsets) == 30 * 3600
    assert offsets[0] == 0
    assert offsets[-1] == int((30 * 3600 - 1) * SECOND / 30)


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    offsets = Schedule(rate=50, arrivals="poisson", seed=1).offsets(400 * SECOND)
    per_second = np.bincount(offsets // SECOND)
    assert per_second.mean() == pytest.approx(50, rel=0.05)
    assert per_second.var() == pytest.approx(50, rel=0.25)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_arrivals_depend_on_the_seed_and_not_on_how_they_are_cut(arrivals: Any) -> None:
    plan = Schedule(rate=77, arrivals=arrivals, seed=3, weights=(2, 1))
    small = [np.concatenate(c) for c in zip(*islice(plan.blocks(10), 30), strict=True)]
    large = [np.concatenate(c) for c in zip(*islice(plan.blocks(100), 3), strict=True)]
    assert all(np.array_equal(a, b) for a, b in zip(small, large, strict=True))
    assert np.array_equal(small[0], plan.offsets(int(small[0][-1]) + 1))
    other = next(Schedule(rate=77, arrivals=arrivals, seed=4, weights=(2, 1)).blocks(300))
    assert not np.array_equal(large[1], other[1])


def test_endpoints_are_asked_for_by_weight() -> None:
    _, endpoints = next(Schedule(rate=1, weights=(3, 1, 6), seed=2).blocks(20_000))
    shares = np.bincount(endpoints) / 20_000
    assert shares == pytest.approx([0.3, 0.1, 0.6], abs=0.02)


def test_due_counts_arrivals_in_any_order_of_asking_and_ends_at_the_stop() -> None:
    due = Due(schedule=Schedule(rate=40), origin=T0)
    assert due.before(T0 + 100 * SECOND) == 4000
    assert due.before(T0) == 0
    assert due.before(T0 + 1) == 1
    due.stop = T0 + 2 * SECOND
    assert due.before(T0 + 100 * SECOND) == 80


# -- figures -------------------------------------------------------------------------------------


def test_availability_counts_2xx_and_3xx_of_everything_that_was_intended() -> None:
    statuses = [200, 302, 404, 503, *outcomes.OUTCOMES]
    served = requests((i * MS, MS, s) for i, s in enumerate(statuses))
    # 200, 302 and "accepted by the user's locustfile".
    assert served.availability() == 3 / len(statuses)
    assert served.outcomes()["503"] == 1
    assert served.outcomes()["connection refused"] == 1


def test_nothing_measured_is_no_number_and_passes_no_comparison() -> None:
    nothing = Requests.empty()
    assert math.isnan(nothing.availability())
    assert math.isnan(nothing.percentiles().p99)
    assert not nothing.availability() >= 0.0
    assert not nothing.reached()
    assert len(nothing.per_interval(1).t) == 0


def test_percentiles_are_observed_values_counted_from_the_intended_start() -> None:
    rows = requests((i * MS, (i + 1) * MS, 200) for i in range(200))
    got = rows.percentiles()
    assert (got.p50, got.p95, got.p99, got.max) == (0.100, 0.190, 0.198, 0.200)
    assert rows.percentile(99) == got.p99
    late = Requests.of([T0], [T0 + 3 * SECOND], [T0 + 3 * SECOND + MS], [0], [200])
    assert late.percentiles().p50 == 3.001


def test_a_percentile_of_all_that_was_intended_has_failures_last() -> None:
    half = [(i * MS, (i + 1) * MS, 200 if i % 2 else 503) for i in range(200)]
    rows = requests(half)
    assert rows.percentile(49) < 0.2
    assert rows.percentile(51) == math.inf
    assert math.isnan(Requests.empty().percentile(99))


def test_a_refused_connection_is_no_latency_but_a_timeout_is() -> None:
    rows = requests([(0, 1, outcomes.REFUSED), (1, 10 * SECOND, outcomes.TIMEOUT)])
    assert rows.percentiles().count == 1
    assert rows.percentiles().p50 == 10.0
    assert not rows.reached()


def test_between_is_by_intended_start_whatever_the_order_in_which_requests_ended() -> None:
    rows = Requests.of([3, 1, 2], [3, 1, 2], [4, 9, 5], [0, 0, 0], [200, 201, 202])
    assert rows.between(1, 3).status.tolist() == [201, 202]
    assert rows.between(2, None).status.tolist() == [202, 200]
    assert len(rows.between(5, 9)) == 0
    assert rows.last_intended == 3


def test_per_interval_leaves_gaps_visible() -> None:
    rows = requests([*((i * 100 * MS, 10 * MS, 200) for i in range(10)), (2500 * MS, SECOND, 503)])
    series = rows.per_interval(1.0)
    assert series.count.tolist() == [10, 0, 1]
    assert series.ok.tolist() == [10, 0, 0]
    assert series.p99[0] == 0.010
    assert np.isnan(series.p99[1])
    assert series.max[2] == 1.0
    assert series.t.tolist() == [T0, T0 + SECOND, T0 + 2 * SECOND]


# -- the generator's own health ------------------------------------------------------------------


def on_time(seconds: float, lag: int = MS, **more: Any) -> Requests:
    """A recording of 40 requests/s, each started `lag` ns late."""
    header = Header.of(HEADER)
    due = header.due()
    assert due is not None
    due.stop = T0 + int(seconds * SECOND)
    intended = T0 + due.schedule.offsets(int(seconds * SECOND))
    zeros = np.zeros(len(intended))
    return Requests.of(
        intended, intended + lag, intended + lag + MS, zeros, zeros + 200,
        header=header, due=due, **more,
    )  # fmt: skip


def test_a_generator_on_time_has_not_fallen_behind() -> None:
    got = on_time(10).generator_health(T0, T0 + 10 * SECOND)
    assert (got.scheduled, got.sent, got.lag_p99_s) == (400, 400, 0.001)
    assert not got.fell_behind


def test_a_generator_that_sends_late_has_fallen_behind() -> None:
    assert on_time(10, lag=51 * MS).generator_health(T0, T0 + 10 * SECOND).fell_behind
    assert not on_time(10, lag=50 * MS).generator_health(T0, T0 + 10 * SECOND).fell_behind


def test_arrivals_that_were_given_up_count_as_not_sent() -> None:
    rows = on_time(10)
    rows.status[:5] = outcomes.NOT_SENT
    got = rows.generator_health(T0, T0 + 10 * SECOND)
    assert got.sent == 395
    assert got.fell_behind


def test_arrivals_that_were_held_back_are_the_subjects_doing() -> None:
    rows = on_time(10)
    rows.status[:200] = outcomes.HELD_BACK
    got = rows.generator_health(T0, T0 + 10 * SECOND)
    assert got.sent == 400
    assert not got.fell_behind
    assert rows.availability() == 0.5


def test_a_generator_that_died_has_fallen_behind_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    rows = [(T0 + i * 25 * MS, T0 + i * 25 * MS, T0 + i * 25 * MS + MS, 0, 200) for i in range(40)]
    write(path, {"header": HEADER}, batch(*rows), health(T0 + SECOND, 40))
    got = RequestsTail(path).read()
    assert not got.generator_health(T0, T0 + SECOND).fell_behind
    after = got.generator_health(T0 + SECOND, T0 + 3 * SECOND)
    assert (after.scheduled, after.sent) == (80, 0)
    assert after.fell_behind
    assert not got.between(T0 + SECOND, T0 + 3 * SECOND).settled


# -- a recording that is being written -----------------------------------------------------------


def test_a_tail_reads_what_has_come_in_and_leaves_a_torn_line_for_later(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    tail = RequestsTail(path)
    assert len(tail.read()) == 0
    write(path, {"header": HEADER}, batch((T0, T0, T0 + MS, 1, 200)), health(T0 + 20 * MS, 1))
    assert len(tail.read()) == 1
    line = orjson.dumps(batch((T0 + 25 * MS, T0 + 25 * MS, T0 + 26 * MS, 0, 503))) + b"\n"
    with path.open("ab") as file:
        file.write(line[:50])
    assert len(tail.read()) == 1
    with path.open("ab") as file:
        file.write(line[50:])
    assert tail.read().status.tolist() == [200, 503]
    assert tail.ended is None
    write(path, {"end": {"stopped": T0 + 50 * MS, "reason": "stopped", "unfinished": 0}})
    done = tail.read()
    assert tail.ended is not None
    assert done.scheduled == 2
    assert done.settled
    assert [len(of_endpoint(done, name)) for name in done.endpoints] == [1, 1]


def test_requests_in_flight_are_pending_until_they_have_an_outcome(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    tail = RequestsTail(path)
    fast = [(T0 + i * 25 * MS, T0 + i * 25 * MS, T0 + i * 25 * MS + MS, 0, 200) for i in range(20)]
    write(path, {"header": HEADER}, batch(*fast), health(T0 + SECOND, 40))
    first = tail.read().between(T0, T0 + SECOND)
    assert (len(first), first.scheduled, first.pending) == (20, 40, 20)
    assert not first.settled
    assert first.availability() == 0.5
    assert first.availability_at_most() == 1.0
    assert first.outcomes()["no outcome yet"] == 20
    assert first.generator_health(T0, T0 + SECOND).sent == 40
    assert tail.read().complete_until(T0 + SECOND // 2)
    assert not tail.read().complete_until(T0 + SECOND)
    slow = [(T0 + i * 25 * MS, T0 + i * 25 * MS, T0 + 3 * SECOND, 0, -3) for i in range(20, 40)]
    write(path, batch(*slow), health(T0 + 3 * SECOND, 120))
    settled = tail.read().between(T0, T0 + SECOND)
    assert settled.settled
    assert settled.availability() == settled.availability_at_most() == 0.5


def test_a_closed_loop_is_settled_when_every_timeout_has_passed(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    closed = HEADER | {"open_loop": False, "endpoints": [], "weights": []}
    row = (T0, T0, T0 + MS, 0, 200)
    write(path, {"header": closed}, {"endpoint": "GET /a"}, batch(row), health(T0 + SECOND, 1))
    tail = RequestsTail(path)
    window = tail.read().between(T0, T0 + SECOND)
    assert not window.open_loop
    assert window.endpoints == ("GET /a",)
    assert not window.settled
    write(path, health(T0 + 11 * SECOND, 1))
    assert tail.read().between(T0, T0 + SECOND).settled


@pytest.mark.parametrize("line", [b"what\n", b"[1]\n"])
def test_a_file_that_is_no_recording_is_refused_by_name(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(line)
    with pytest.raises(HistoryError, match=r"requests\.jsonl"):
        RequestsTail(path).read()


def test_failures_are_told_by_endpoint_and_outcome() -> None:
    status = [503] * 4 + [200] * 2 + [outcomes.TIMEOUT, 200]
    at = [T0 + i * SECOND for i in range(len(status))]
    which = [0] * 6 + [1] * 2
    given = Requests.of(at, at, at, which, status, endpoints=("GET /cart", "POST /orders"))
    assert given.failures() == (
        "GET /cart answered 503 for 4 of 6 requests; POST /orders: timeout for 1 of 2 requests"
    )
    assert given.failures(most=1) == "GET /cart answered 503 for 4 of 6 requests"
    assert of_endpoint(given, "POST /orders").between(T0 + 7 * SECOND, None).failures() == ""
