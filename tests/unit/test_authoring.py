"""What needs no cluster of the authors' side: scopes held by a task, targets, stories, rounds."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import histories
import orjson
import pytest
from judged import calm

from harness.authoring.app import App, Target
from harness.authoring.failure_report import tell
from harness.authoring.injection import target_app
from harness.authoring.placing import find_subject
from harness.authoring.scope_holder import ScopeHolder
from harness.authoring.session import folder_name
from harness.authoring.traffic import Traffic
from harness.declare import Load
from harness.errors import UsageError
from harness.faults import CutConnections, SlowDependency
from harness.history.history import History
from harness.history.records import SECOND
from harness.history.requests import Requests
from harness.history.writer import Writer
from harness.judgement.exposure import felt


@asynccontextmanager
async def scope(log: list[str], name: str, fail: str = "") -> AsyncIterator[str]:
    if fail == "enter":
        raise RuntimeError(f"{name} cannot be entered")
    async with asyncio.TaskGroup() as group:
        forever = group.create_task(asyncio.Event().wait())
        log.append(f"in {name}")
        yield name
        log.append(f"out {name}")
        forever.cancel()
        if fail == "leave":
            raise ValueError(f"{name} cannot be left")


def test_scopes_are_left_in_another_task_than_entered() -> None:
    log: list[str] = []
    with asyncio.Runner() as runner:
        held = ScopeHolder()
        assert runner.run(held.enter(scope(log, "a"))) == "a"
        assert runner.run(held.enter(scope(log, "b"))) == "b"
        runner.run(held.close())
    assert log == ["in a", "in b", "out b", "out a"]


def test_a_scope_that_cannot_be_entered_raises_at_once() -> None:
    async def work() -> None:
        held = ScopeHolder()
        with pytest.raises(RuntimeError, match="x cannot be entered"):
            await held.enter(scope([], "x", "enter"))
        await held.close()

    asyncio.run(work())


def test_one_that_cannot_be_left_keeps_no_other_from_being_left() -> None:
    log: list[str] = []

    async def work() -> None:
        held = ScopeHolder()
        await held.enter(scope(log, "a"))
        await held.enter(scope(log, "b", "leave"))
        with pytest.raises(ExceptionGroup) as failed:
            await held.close()
        assert failed.group_contains(ValueError, match="b cannot be left")

    asyncio.run(work())
    assert log[-1] == "out a"


def test_one_who_is_cancelled_while_entering_leaves_nothing_open() -> None:
    left: list[str] = []

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
            yield
        finally:
            left.append("left")

    async def work() -> None:
        task = asyncio.create_task(ScopeHolder().enter(slow()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert left == ["left"]


def app(name: str) -> App:
    return cast(App, SimpleNamespace(name=name))


def test_a_target_is_its_name_wherever_it_is_stored() -> None:
    target = Target("database", app("shop"))
    fault = SlowDependency(target, latency="3s")
    assert fault == SlowDependency("database", latency="3s")
    assert orjson.loads(orjson.dumps(fault.to_json()))["target"] == "database"
    assert copy.deepcopy(fault).target is target
    assert type(pickle.loads(pickle.dumps(target))) is str


def test_a_fault_finds_its_application() -> None:
    shop, bank = app("shop"), app("bank")
    at_shop = CutConnections(Target("database", shop))
    at_bank = CutConnections(Target("database", bank))
    assert target_app([at_shop], [shop, bank]) is shop
    assert target_app([CutConnections("database")], [bank]) is bank
    with pytest.raises(UsageError, match="which of the 2 deployed applications"):
        target_app([CutConnections("database")], [shop, bank])
    with pytest.raises(UsageError, match="cannot break two applications"):
        target_app([at_shop, at_bank], [shop, bank])


def test_a_subject_is_found_in_a_folder_or_beside_it(tmp_path: Path) -> None:
    (tmp_path / "shop" / "deploy").mkdir(parents=True)
    (tmp_path / "shop" / "harness.toml").write_text('[subject]\nmanifests = "deploy/"\n')
    elsewhere = tmp_path / "elsewhere"
    for path in ("shop", "shop/deploy", "shop/deploy/"):
        assert find_subject(path, [elsewhere, tmp_path]).directory == tmp_path / "shop"
    assert find_subject("payment", [tmp_path]).subject.name == "payment"
    # What is not there is not taken for something beside it.
    with pytest.raises(UsageError, match="there is no such folder"):
        find_subject("gone", [tmp_path / "shop"])


def test_a_tests_folder_has_a_plain_name() -> None:
    assert folder_name("test_a-test_b[GET /x-3]") == "test_a-test_b-GET-x-3"


def test_a_story_tells_what_was_seen(tmp_path: Path) -> None:
    folder = histories.write_trial(tmp_path, histories.FRAGILE)
    told = "\n".join(tell("shop", History.read(folder), ["a note"], folder))
    assert told.startswith("shop\n  a note\n  phases: preflight 1.2 s")
    assert "database 3s slower: felt for " in told
    assert "workload (Deployment/checkout-api): ready " in told
    assert "restarted (" in told
    assert "control: 100.00% of " in told
    assert "Unhealthy Pod/" in told
    assert told.endswith(f"history: {folder}")


def test_a_phase_that_begins_again_begins_a_new_round(tmp_path: Path) -> None:
    history = History()
    writer = Writer(tmp_path, mirror=history)

    def mark(phase: str, edge: str, at: int) -> None:
        writer.append("phase", t=at * SECOND, phase=phase, edge=edge)

    def measured(at: int, felt: bool) -> None:
        nothing: dict[str, Any] = {"asked": {}, "achieved": {}, "note": ""}
        writer.append("measurement", t=at * SECOND, fault=0, felt=felt, **nothing)

    for round_ in (0, 100):
        for index, phase in enumerate(("control", "inject", "felt", "sustain", "heal")):
            mark(phase, "begin", round_ + 10 * index)
            if phase == "sustain":
                measured(round_ + 31, felt=True)
                measured(round_ + 36, felt=True)
            if round_ and phase == "control":
                assert history.injected_at is None
                assert history.healed_at is None
            mark(phase, "end", round_ + 10 * index + 10)
    writer.close()
    assert history.injected_at == 110 * SECOND
    assert history.healed_at == 150 * SECOND
    assert felt(history, 0).since == 131 * SECOND
    assert felt(history, 0).seconds == 5


class Sends:
    """A generator whose requests are those of a tale, as known at a second of it."""

    def __init__(self, until: float | None) -> None:
        slow = calm(answer=lambda t: (0.5, 200) if t < 25 else (10.0, 0))
        self.history = slow.until(until)

    def requests(self) -> Requests:
        return self.history.requests


def availability(until: float | None) -> float:
    generator = Sends(until)
    app = SimpleNamespace(history=generator.history)
    return Traffic(cast(Any, app), cast(Any, generator), Load()).availability()


def test_a_request_on_its_way_is_not_lost_yet() -> None:
    assert Sends(24.0).history.requests.pending
    assert availability(24.0) == 1.0


def test_a_request_is_lost_when_its_timeout_is_over() -> None:
    assert availability(34.0) == 1.0
    assert 0.8 < availability(38.0) < 1.0
    assert availability(None) < 0.5
