"""Who had the machine: shares of its CPU, and the worst stretch of a trial."""

from __future__ import annotations

import pytest
from judged import at

from harness.history.history import History
from harness.history.records import Window
from harness.host.cpu import cpu_use
from harness.judgement.contention import most_crowded

CPUS = 2
EVERY = 5
FAULT = Window(at(20), at(60))


def told(
    others: float,
    *,
    nodes: float = 0.4,
    after: float = 0.0,
    stolen: float = 0.0,
    then: tuple[float, float] | None = None,
) -> History:
    """A minute and a half; shares of the machine, those of others from second `after` on, and
    `then` (others, nodes) in its second half."""
    history = History()
    busy = used = taken = 0.0
    for t in range(0, 90, EVERY):
        if then is not None and t >= 45:
            others, nodes = then
        if t >= after:
            busy += others * CPUS * EVERY
        busy += nodes * CPUS * EVERY
        used += nodes * CPUS * EVERY
        taken += stolen * CPUS * EVERY
        seen = {"seconds": used / 2, "at": 1000.0 + t}
        history.add(
            {
                "t": at(t),
                "wall": 1000.0 + t,
                "type": "machine",
                "cpus": CPUS,
                "busy": busy,
                "own": 0.0,
                "stolen": taken,
                "nodes": {"a": seen, "b": seen},
            }
        )
    return history


def test_the_rest_of_what_is_busy_belongs_to_others() -> None:
    worst = most_crowded(told(0.55), FAULT)
    assert worst is not None
    assert worst.others == pytest.approx(0.55)
    assert worst.idle == pytest.approx(0.05)
    assert worst.crowded
    assert worst.describe() == ("others had 55% of this machine's CPU for 15 s, and 5% was idle")


@pytest.mark.parametrize(
    ("others", "nodes", "stolen", "crowded"),
    [
        pytest.param(0.1, 0.9, 0.0, False, id="the trial itself keeps it busy"),
        pytest.param(0.55, 0.2, 0.0, False, id="some of it is idle"),
        pytest.param(0.2, 0.4, 0.4, True, id="the hypervisor took it"),
        pytest.param(0.0, 0.0, 0.0, False, id="all is idle"),
    ],
)
def test_crowded_is_more_than_half_to_others_and_nothing_idle(
    others: float, nodes: float, stolen: float, crowded: bool
) -> None:
    worst = most_crowded(told(others, nodes=nodes, stolen=stolen), FAULT)
    assert worst is not None
    assert worst.crowded is crowded


def test_a_crowded_stretch_is_worse_than_one_with_more_for_others_and_room() -> None:
    history = told(0.7, nodes=0.1, then=(0.55, 0.45))
    worst = most_crowded(history, Window(at(0)))
    assert worst is not None
    assert worst.crowded
    assert worst.others < 0.7


def test_only_what_ended_in_the_window_or_soon_after_counts() -> None:
    history = told(0.6, after=60)
    early = most_crowded(history, Window(at(20), at(40)))
    late = most_crowded(history, Window(at(20), at(72)))
    assert early is not None
    assert late is not None
    assert not early.crowded
    assert late.crowded


@pytest.mark.parametrize("records", [0, 1, 3])
def test_too_little_was_recorded_to_say_anything(records: int) -> None:
    history = History()
    for record in told(0.9).machine[:records]:
        history.add(record)
    assert most_crowded(history, Window(at(0))) is None


def test_a_kubelet_that_is_too_starved_to_count_shows_that_others_have_the_machine() -> None:
    history = told(0.6)
    for record in history.machine:
        record["nodes"] = {"a": {"seconds": 1.0, "at": 1000.0}}
    worst = most_crowded(history, FAULT)
    assert worst is not None
    assert worst.crowded


def test_a_kubelet_that_falls_silent_has_not_gone_on_as_before() -> None:
    history = told(0.0, nodes=0.95, then=(0.95, 0.0))
    for record in history.machine:
        if record["t"] > at(40):
            record["nodes"] = history.machine[8]["nodes"]
    early, late = (most_crowded(history, Window(at(20), at(t))) for t in (28, 75))
    assert early is not None
    assert late is not None
    assert not early.crowded
    assert late.crowded


def test_a_kubelet_that_counts_seldom_is_taken_to_have_counted_evenly() -> None:
    history = told(0.0, nodes=0.95)
    for record in history.machine:
        seldom = record["t"] // 10**9 // 15 * 15 - 1000 // 15 * 15
        used = 0.95 * CPUS * seldom / 2
        record["nodes"] = {name: {"seconds": used, "at": 1000.0 + seldom} for name in "ab"}
    worst = most_crowded(history, FAULT)
    assert worst is not None
    assert worst.others == pytest.approx(0.0)


def test_a_short_stretch_is_seen() -> None:
    """Others have the machine from second 18 to 36; an average over half a minute would hide it."""
    history = History()
    busy = used = 0.0
    for t in range(0, 60, EVERY):
        others = 0.95 if 18 <= t < 36 else 0.0
        busy += (others + 0.05) * CPUS * EVERY
        used += 0.05 * CPUS * EVERY
        nodes = {"n": {"seconds": used, "at": float(t)}}
        own = {"cpus": CPUS, "busy": busy, "own": 0.0, "stolen": 0.0, "nodes": nodes}
        history.add({"t": at(t), "wall": float(t), "type": "machine", **own})
    worst = most_crowded(history, Window(at(20), at(35)))
    assert worst is not None
    assert worst.crowded


def test_pods_of_other_trials_are_others() -> None:
    history = told(0.0, nodes=0.95)
    assert not most_crowded(history, FAULT).crowded  # type: ignore[union-attr]
    for index, record in enumerate(history.machine):
        record["siblings"] = 0.7 * CPUS * EVERY * index
    worst = most_crowded(history, FAULT)
    assert worst is not None
    assert worst.crowded
    assert worst.others == pytest.approx(0.7)


@pytest.mark.parametrize("gone", [["b"], ["a", "b"]])
def test_a_node_that_came_is_taken_to_have_used_before_what_it_uses_now(gone: list[str]) -> None:
    history = told(0.6)
    for record in history.machine[:8]:
        for name in gone:
            record["nodes"].pop(name)
    worst = most_crowded(history, Window(at(38), at(50)))
    assert worst is not None
    assert worst.others == pytest.approx(0.6)


def test_a_node_that_is_away_all_the_time_uses_nothing() -> None:
    history = told(0.3, nodes=0.4)
    for record in history.machine:
        record["nodes"].pop("b")
    worst = most_crowded(history, FAULT)
    assert worst is not None
    assert worst.others == pytest.approx(0.5)


def test_the_kernel_counts_what_this_process_uses() -> None:
    before = cpu_use()
    while cpu_use().own - before.own < 0.05:
        sum(range(10_000))
    after = cpu_use()
    assert after.cpus >= 1
    assert after.busy >= before.busy + 0.04
    assert after.stolen >= before.stolen
