"""The pool: who begins when, what becomes of the others when one goes wrong, second attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from judged import Slow, calm, declared

from harness.cluster import cpu_shares
from harness.declare import Expect
from harness.judgement.verdict import Result, judge
from harness.runs import pool, run
from harness.runs.options import Job, Options, Quiet, TrialEnd
from harness.runs.pool import Pool

Act = Callable[[Any, Callable[[], None]], Awaitable[Any]]
"""What a trial does instead of using a cluster, given its plan and what tells of its removal."""


def plan(name: str, folder: Path, *, alone: bool = False, instead_of: Any = None) -> Any:
    placement = SimpleNamespace(
        exclusive=alone, folder=folder / name, trial=name, declared={"instead_of": instead_of}
    )
    scenario = SimpleNamespace(slug="slow")
    return SimpleNamespace(scenario=scenario, variant=name, placement=placement)


def job(name: str, folder: Path, *, alone: bool = False, seconds: float = 1.0) -> Job:
    async def again(after: TrialEnd) -> Any:
        instead_of = {"folder": after.plan.placement.folder.name}
        return plan(f"{name} again", folder, alone=True, instead_of=instead_of)

    return Job(plan=plan(name, folder, alone=alone), seconds=seconds, again=again)


def result(**fields: Any) -> Result:
    whole = judge(calm().until(), declared(), Expect("survived"))
    return Result(**{**vars(whole), **fields})


CROWDED = result(verdict="inconclusive", blame="host", deciding="the machine was taken")
UNLUCKY = result(verdict="inconclusive", blame="harness", deciding="a pod of ours died")


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Act]:
    """What each trial does, by its name; it returns its result, with what it left behind."""
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cpu_shares, "shares", lambda: 2)
    does: dict[str, Act] = {}

    async def leased(each: Any, _: Any, __: Any, removing: Callable[[], None]) -> TrialEnd:
        said = await does[each.variant](each, removing)
        got, left = said if isinstance(said, tuple) else (said or result(), ())
        return TrialEnd(each, got, left, 1.0, {"kubernetes": "v1"})

    monkeypatch.setattr(pool, "leased", leased)
    return does


async def carry_out(jobs: Sequence[Job], ended: list[TrialEnd], listener: Any = None) -> None:
    await Pool(_nowhere, listener or Quiet()).carry_out(jobs, ended)


async def _nowhere() -> Any:
    raise AssertionError("no cluster is asked for")


async def _ends(*_: Any) -> None:
    await asyncio.sleep(0.02)


async def _defect(*_: Any) -> None:
    await asyncio.sleep(0.01)
    raise ZeroDivisionError("a defect")


async def _for_ever(*_: Any) -> None:
    await asyncio.Event().wait()


def names(ended: Sequence[TrialEnd]) -> list[str]:
    return [each.plan.variant for each in ended]


def test_the_longest_begin_first_and_those_that_need_the_cluster_alone_last(
    trials: dict[str, Act], tmp_path: Path
) -> None:
    log: list[str] = []
    running: set[str] = set()

    async def remembers(each: Any, _: Any) -> None:
        name, beside = each.variant, set(running)
        assert not (each.placement.exclusive and beside), f"{name} began beside {beside}"
        log.append(name)
        running.add(name)
        await asyncio.sleep(0.3)
        running.remove(name)

    jobs = [
        job("alone", tmp_path, alone=True, seconds=99),
        job("short", tmp_path, seconds=1),
        job("long", tmp_path, seconds=9),
        job("middle", tmp_path, seconds=5),
        job("brief", tmp_path, alone=True, seconds=2),
    ]
    trials.update(dict.fromkeys(("alone", "short", "long", "middle", "brief"), remembers))
    ended: list[TrialEnd] = []
    asyncio.run(carry_out(jobs, ended))
    assert log == ["long", "middle", "short", "alone", "brief"]
    assert names(ended) == ["alone", "short", "long", "middle", "brief"]


def test_the_next_begins_when_one_of_two_is_only_removed(
    trials: dict[str, Act], tmp_path: Path
) -> None:
    third = asyncio.Event()
    two_run = asyncio.Event()

    async def removed_while_the_third_runs(_: Any, removing: Callable[[], None]) -> None:
        await two_run.wait()
        assert not third.is_set(), "there are two processors"
        removing()
        await third.wait()

    async def second(*_: Any) -> None:
        two_run.set()
        await third.wait()

    async def last(*_: Any) -> None:
        third.set()

    trials.update(a=removed_while_the_third_runs, b=second, c=last)
    ended: list[TrialEnd] = []
    asyncio.run(asyncio.wait_for(carry_out([job(n, tmp_path) for n in "abc"], ended), 10))
    assert names(ended) == ["a", "b", "c"]


def test_an_error_of_one_lets_those_that_run_end_and_no_other_begin(
    trials: dict[str, Act], tmp_path: Path
) -> None:
    trials.update(a=_ends, b=_defect, c=_ends)
    ended: list[TrialEnd] = []
    with pytest.raises(ZeroDivisionError):
        asyncio.run(carry_out([job(name, tmp_path) for name in "abc"], ended))
    assert names(ended) == ["a"]


def test_cancelled_it_returns_when_everybody_has_undone_what_he_did(
    trials: dict[str, Act], tmp_path: Path
) -> None:
    undone: list[str] = []
    ended: list[TrialEnd] = []
    both, ended_b = asyncio.Event(), asyncio.Event()

    async def ends(*_: Any) -> None:
        ended_b.set()

    async def breaks(each: Any, removing: Callable[[], None]) -> None:
        await ended_b.wait()
        if each.variant == "c":
            both.set()
        try:
            removing()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)
            undone.append(each.variant)

    async def interrupted() -> None:
        task = asyncio.create_task(carry_out([job(name, tmp_path) for name in "abc"], ended))
        await both.wait()
        task.cancel()
        await task

    trials.update(a=breaks, b=ends, c=breaks)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert sorted(undone) == ["a", "c"]
    assert names(ended) == ["b"]


def test_what_the_host_kept_from_a_verdict_is_tried_once_more_alone_and_that_one_counts(
    trials: dict[str, Act], tmp_path: Path
) -> None:
    told: list[tuple[str, str]] = []

    class Tells(Quiet):
        def again(self, slug: str, variant: str) -> None:
            told.append((slug, variant))

    async def crowded(*_: Any) -> Result:
        return CROWDED

    async def unlucky(*_: Any) -> Result:
        return UNLUCKY

    async def leaves_something(*_: Any) -> tuple[Result, tuple[str, ...]]:
        return CROWDED, ("Node/a is cordoned",)

    trials.update({"a": leaves_something, "a again": _ends, "b": unlucky, "c": crowded})
    trials["c again"] = crowded
    ended: list[TrialEnd] = []
    asyncio.run(carry_out([job(name, tmp_path) for name in "abc"], ended, Tells()))
    assert told == [("slow", "a"), ("slow", "c")]
    assert names(ended) == ["a again", "b", "c again"]
    assert [each.result.verdict for each in ended] == ["survived", "inconclusive", "inconclusive"]
    assert ended[0].plan.placement.exclusive
    assert ended[0].residue == ("Node/a is cordoned",)


# -- the run ------------------------------------------------------------------------------------


@pytest.fixture
def one_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose scenario has the variants a, b and c, prepared without a cluster."""
    scenario = SimpleNamespace(slug="slow", shape="single", faults=[Slow()])
    prepared = SimpleNamespace(scenario=scenario, variants=dict.fromkeys("abc"))

    async def prepare(*_: Any) -> Any:
        return prepared

    async def planned(_: Any, name: str, *__: Any, folder: Path, **___: Any) -> Job:
        return job(name, folder)

    monkeypatch.setattr(run, "select", lambda *_: ([(None, None)], []))
    monkeypatch.setattr(run, "prepare", prepare)
    monkeypatch.setattr(run, "job", planned)
    monkeypatch.setattr(run, "needed_addons", lambda _: [])


def run_json(folder: Path) -> Any:
    return orjson.loads((folder / "run.json").read_bytes())


@pytest.mark.usefixtures("one_scenario")
def test_a_run_that_a_defect_ends_can_be_read(trials: dict[str, Act], tmp_path: Path) -> None:
    trials.update(a=_ends, b=_defect, c=_ends)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run.carry_out(Options(folder=tmp_path), Quiet()))
    written = run_json(tmp_path)
    assert written["trials"] == ["a"]
    assert (written["complete"], written["exit_code"]) == (False, 3)


@pytest.mark.usefixtures("one_scenario")
def test_a_run_that_a_signal_ends_can_be_read(trials: dict[str, Act], tmp_path: Path) -> None:
    over = asyncio.Event()

    async def ends(*_: Any) -> None:
        over.set()

    async def interrupted() -> None:
        task = asyncio.create_task(run.carry_out(Options(folder=tmp_path), Quiet()))
        await over.wait()
        task.cancel()
        await task

    trials.update(a=ends, b=_for_ever, c=_for_ever)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert run_json(tmp_path)["trials"] == ["a"]
    assert not run_json(tmp_path)["complete"]


@pytest.mark.usefixtures("one_scenario")
def test_a_run_that_ends_by_itself_is_complete_and_says_what_was_tried_again(
    trials: dict[str, Act], tmp_path: Path
) -> None:
    async def crowded(*_: Any) -> Result:
        return CROWDED

    trials.update({"a": _ends, "b": crowded, "b again": _ends, "c": _ends})
    end = asyncio.run(run.carry_out(Options(folder=tmp_path), Quiet()))
    written = run_json(tmp_path)
    assert end.exit_code == 0
    assert written["complete"]
    assert written["trials"] == ["a", "b again", "c"]
    assert written["tried_again"] == {"b again": "b"}
    assert written["versions"] == {"kubernetes": "v1"}
