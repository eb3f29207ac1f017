"""Declarations: refused when they are written, and stored so that they come back the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import orjson
import pytest
from judged import Slow, calm

from harness import Expect, Load, Scenario, faults, objectives, shows
from harness.declare import Declared, load_declared, register, registered
from harness.errors import UsageError
from harness.faults.base import Fault

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


EXAMPLES: dict[str, list[Declared]] = {
    "objective": [
        objectives.attached_once("worker"),
        objectives.availability(at_least=0.9, during="fault", role="worker"),
        objectives.drained("worker", within="grace + 5s"),
        objectives.denied("worker"),
        objectives.latency(at_most="2s", percentile=95, during="all", role="worker"),
        objectives.ready("worker", at_least=2),
        objectives.recovery(within="2 x liveness", role="worker"),
        objectives.refused("worker"),
        objectives.restarts("worker", at_most=3, cures=1),
        objectives.rollout("worker", within="60s"),
        objectives.self_healing("worker", within="60s"),
    ],
    "fault": [
        faults.ConnectionsUsedUp("cache"),
        faults.CutConnections("cache", mode="reset"),
        faults.DeletePods("worker", pods=2),
        faults.Drain("worker"),
        faults.Exploit("worker", technique="token"),
        faults.Hang("worker", pods=2),
        faults.HeapAtStart("worker"),
        faults.MemoryPressure("worker", size="1Gi"),
        faults.NodeLoss("worker", mode="kubelet-stopped"),
        faults.OccupiedPool("cache", slower_than="3s", workload="worker"),
        faults.Release("worker"),
        faults.Relocate("worker"),
        faults.RollingRestart("worker"),
        faults.Scale("worker", replicas=1),
        faults.SlowDependency("cache", latency="3s", jitter="1s", bandwidth="64k"),
        faults.SlowStart("worker", delay="60s"),
        faults.StuckVolume("worker", operation="attach", delay="5s", refuse="no space"),
        faults.TaggedImage("worker", tag="latest"),
    ],
    "shows": [
        shows.allowed("worker", code="201", says="token read"),
        shows.attached_elsewhere("worker"),
        shows.budget("worker", allows=0),
        shows.condition("worker", type="Progressing", reason="ProgressDeadlineExceeded"),
        shows.event("Killing", on="worker", message="m"),
        shows.eviction_refused("worker", during="5s"),
        shows.failed_requests(at_least=9, how=["503", "timeout"]),
        shows.logged("is not set", on="worker"),
        shows.probe_failed("worker", "liveness"),
        shows.qos("worker", equals="Burstable"),
        shows.ready("worker", equals=1, within="5s"),
        shows.refused("worker", code="403", says="no token"),
        shows.restarts("worker", at_least=2, every_replica=True),
        shows.stranded("worker", during="5s"),
        shows.stuck("worker", during="5s"),
        shows.terminated("worker", reason="Error", exit_code=3),
        shows.waiting("worker", reason="CrashLoopBackOff"),
    ],
}


def shipped(family: str) -> list[str]:
    """Names of what the harness itself registers."""
    found = registered(family).items()
    return [name for name, kind in found if kind.__module__.startswith("harness.")]


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in EXAMPLES for name in shipped(family)]
)
def test_what_is_stored_comes_back_the_same(family: str, name: str) -> None:
    [given] = [each for each in EXAMPLES[family] if each.name == name]
    if isinstance(given, Fault):
        given = replace(given, after="20s")
    for each in fields(given):
        assert getattr(given, each.name) != each.default, f"{each.name} would not be stored"
    assert load_declared(family, given.to_json()) == given


def test_every_registered_fault_can_be_imported_by_authors() -> None:
    kinds = [registered("fault")[name].__name__ for name in shipped("fault")]
    assert sorted(kinds) == sorted(faults.__all__)


def test_defaults_are_not_stored() -> None:
    assert objectives.restarts("workload").to_json() == {"name": "restarts", "role": "workload"}


@pytest.mark.parametrize(
    "data", [{"name": "sunspots"}, {"name": "restarts", "role": "w", "per_hour": 3}]
)
def test_declaration_of_another_version(data: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"knows no objective '{data['name']}'") as caught:
        load_declared("objective", data)
    assert "version that recorded it" in caught.value.remedy


@register("shows", "unless (only in these tests)")
@dataclass(frozen=True)
class Unless(Declared):
    """A sign made of other declarations."""

    first: Declared
    others: tuple[Declared, ...] = ()
    by_role: Mapping[str, tuple[Declared, ...]] = field(default_factory=dict)


def test_declarations_inside_a_declaration_come_back_with_their_names() -> None:
    given = Unless(
        objectives.restarts("workload", at_most=2),
        others=(shows.ready("workload"), Unless(faults.Hang("worker"))),
        by_role={"worker": (shows.restarts("worker"),)},
    )
    stored = orjson.loads(orjson.dumps(given.to_json()))
    assert stored["first"] == {
        "family": "objective",
        "name": "restarts",
        "role": "workload",
        "at_most": 2,
    }
    assert load_declared("shows", stored) == given


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
