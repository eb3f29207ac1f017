"""Declarations: refused when they are written, and stored so that they come back the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from judged import Slow, calm

import harness.faults
from harness import Expect, Load, Scenario, faults, objectives, shows
from harness.declare import Declared, load_declared, register, registered
from harness.errors import UsageError

GIVEN: dict[str, Any] = {
    "title": "t",
    "source": "000",
    "subject": "checkout",
    "faults": [faults.SlowDependency("database", latency="3s")],
    "objectives": [objectives.restarts("workload")],
    "variants": {"hardened": Expect("survived")},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"faults": []}, "declares no fault"),
        ({"objectives": []}, "declares no objective"),
        ({"variants": {}}, "declares no variant"),
        ({"scale": 0}, "has scale 0"),
        ({"control": "0s"}, "has no control run"),
        ({"control": "soon"}, '"soon" is no duration'),
        ({"shape": "triple"}, "shape 'triple'"),
    ],
)
def test_scenario_that_proves_nothing_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Scenario(**{**GIVEN, **change})
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Expect("broken"), "cannot be expected to be 'broken'"),  # type: ignore[arg-type]
        (lambda: Load(rate=0), "load rate is 0 requests/s"),
        (lambda: Load(rate=5001), "load rate is 5001"),
        (lambda: Load(timeout="never"), '"never" is no duration'),
    ],
)
def test_bad_input(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert caught.value.remedy


DECLARED: list[tuple[str, Any]] = [
    ("objective", objectives.restarts("worker", at_most=3)),
    ("objective", objectives.ready("worker", at_least=2)),
    ("objective", objectives.availability(at_least=0.9, during="fault")),
    ("objective", objectives.latency(at_most="2s", percentile=95)),
    ("objective", objectives.recovery(within="2 x liveness", role="worker")),
    ("fault", faults.SlowDependency("cache", latency="3s", jitter="1s", bandwidth="64k")),
    ("fault", faults.CutConnections("cache", mode="reset")),
    ("shows", shows.event("Killing", on="worker", message="m")),
    ("shows", shows.restarts("worker", every_replica=True)),
    ("shows", shows.ready("worker", equals=1, within="5s")),
    ("shows", shows.terminated("worker", reason="Error", exit_code=3)),
    ("shows", shows.waiting("worker", reason="CrashLoopBackOff")),
]


@pytest.mark.parametrize(("family", "given"), DECLARED, ids=lambda x: str(x)[:40])
def test_what_is_stored_comes_back_the_same(family: str, given: Declared) -> None:
    assert load_declared(family, given.to_json()) == given


def test_every_shipped_declaration_is_stored_by_name() -> None:
    assert {type(given).name for family, given in DECLARED if family == "objective"} <= set(
        registered("objective")
    )
    for name in harness.faults.__all__:
        kind = getattr(harness.faults, name)
        assert registered("fault")[kind.name] is kind


def test_defaults_are_not_stored() -> None:
    assert objectives.restarts("workload").to_json() == {"name": "restarts", "role": "workload"}


@pytest.mark.parametrize(
    "data", [{"name": "sunspots"}, {"name": "restarts", "role": "w", "per_hour": 3}]
)
def test_declaration_of_another_version(data: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"knows no objective '{data['name']}'") as caught:
        load_declared("objective", data)
    assert "version that recorded it" in caught.value.remedy


def test_name_is_given_once() -> None:
    @dataclass(frozen=True)
    class Other(Declared):
        pass

    with pytest.raises(TypeError, match="registered twice"):
        register("objective", "restarts")(Other)


def test_scenario_is_exclusive_if_anything_needs_more_than_its_namespace() -> None:
    calm_one = Scenario(**GIVEN)
    assert not calm_one.exclusive
    slow = [*calm_one.objectives, objectives.latency(at_most="1s")]
    assert replace(calm_one, objectives=slow).exclusive


def test_scenario_as_stored() -> None:
    stored = Scenario(**GIVEN, slug="s").to_json()
    assert stored["faults"] == [{"name": "slow-dependency", "target": "database", "latency": "3s"}]
    assert stored["variants"] == {"hardened": {"verdict": "survived", "shows": []}}


def test_unbound_role_says_what_is_bound() -> None:
    with pytest.raises(UsageError, match=r"bound: entry, workload") as caught:
        calm().until().facts.role("cache")
    assert "[roles]" in caught.value.remedy


def test_planted_fault_of_these_tests_is_a_fault() -> None:
    assert Slow().describe() == "database 3s slower"
