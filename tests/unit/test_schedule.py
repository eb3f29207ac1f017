"""Trials side by side: what happens to the others, and to the run, when one of them goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from judged import Slow, calm, declared

from harness.cluster import clusters, residue
from harness.cluster.leases import cluster_lease
from harness.declare import Expect
from harness.errors import HostError
from harness.judgement.verdict import Result, judge
from harness.runs import catalog, connections, run, schedule
from harness.runs.connections import leased_cluster
from harness.runs.options import Options, Quiet, TrialEnd
from harness.trial.trial import Ended
from harness.undo import healing
from harness.undo.ledger import Ledger
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

Trial = Callable[[str], Awaitable[Any]]


def plan(name: str, folder: Path, *, exclusive: bool = False) -> Any:
    placement = SimpleNamespace(exclusive=exclusive, folder=folder / name)
    return SimpleNamespace(variant=name, placement=placement)


def end_of(each: Any, *left: str) -> TrialEnd:
    result = judge(calm().until(), declared(), Expect("survived"))
    return TrialEnd(each, result, left, 1.0, {"kubernetes": "v1"})


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> dict[str, Trial]:
    """What the trial of each variant does instead of using a cluster."""
    does: dict[str, Trial] = {}

    async def leased(each: Any, *_: Any) -> TrialEnd:
        await does[each.variant](each.variant)
        return end_of(each)

    monkeypatch.setattr(schedule, "leased", leased)
    return does


async def side_by_side(names: Sequence[str], folder: Path, ended: list[TrialEnd]) -> None:
    plans = [plan(name, folder) for name in names]
    await schedule.side_by_side(plans, _nowhere, Quiet(), ended)


async def _nowhere() -> Any:
    raise AssertionError("no cluster is asked for")


async def _ends(_: str) -> None:
    await asyncio.sleep(0.02)


async def _defect(_: str) -> None:
    raise ZeroDivisionError("a defect")


def test_an_error_of_one_keeps_none_of_the_others_from_their_end(
    trials: dict[str, Trial], tmp_path: Path
) -> None:
    trials.update(a=_ends, b=_defect, c=_ends)
    ended: list[TrialEnd] = []
    with pytest.raises(ZeroDivisionError):
        asyncio.run(side_by_side("abc", tmp_path, ended))
    assert [each.plan.variant for each in ended] == ["a", "c"]


def test_cancelled_it_returns_when_everybody_has_undone_what_he_did(
    trials: dict[str, Trial], tmp_path: Path
) -> None:
    undone: list[str] = []
    ended: list[TrialEnd] = []

    async def breaks(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)
            undone.append(name)

    async def interrupted() -> None:
        task = asyncio.create_task(side_by_side("abc", tmp_path, ended))
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    trials.update(a=breaks, b=_ends, c=breaks)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert undone == ["a", "c"]
    assert [each.plan.variant for each in ended] == ["b"]


# -- the run ------------------------------------------------------------------------------------


@pytest.fixture
def one_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose scenario has the variants a, b and c, prepared without a cluster."""
    scenario = SimpleNamespace(slug="slow", shape="single", faults=[Slow()])
    prepared = SimpleNamespace(scenario=scenario, variants=dict.fromkeys("abc"))

    async def prepare(*_: Any) -> Any:
        return prepared

    async def planned(_: Any, name: str, *__: Any, folder: Path, **___: Any) -> Any:
        return plan(name, folder)

    monkeypatch.setattr(run, "select", lambda *_: ([(None, None)], []))
    monkeypatch.setattr(run, "prepare", prepare)
    monkeypatch.setattr(run, "plan", planned)
    monkeypatch.setattr(catalog, "faults_of", lambda _: [])


def run_json(folder: Path) -> Any:
    return orjson.loads((folder / "run.json").read_bytes())


@pytest.mark.usefixtures("one_scenario")
def test_a_run_that_a_defect_ends_can_be_read(trials: dict[str, Trial], tmp_path: Path) -> None:
    trials.update(a=_ends, b=_defect, c=_ends)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run.carry_out(Options(folder=tmp_path), Quiet()))
    written = run_json(tmp_path)
    assert written["trials"] == ["a", "c"]
    assert (written["complete"], written["exit_code"]) == (False, 3)


@pytest.mark.usefixtures("one_scenario")
def test_a_run_that_a_signal_ends_can_be_read(trials: dict[str, Trial], tmp_path: Path) -> None:
    over = asyncio.Event()

    async def ends(_: str) -> None:
        over.set()

    async def for_ever(_: str) -> None:
        await asyncio.Event().wait()

    async def interrupted() -> None:
        task = asyncio.create_task(run.carry_out(Options(folder=tmp_path), Quiet()))
        await over.wait()
        task.cancel()
        await task

    trials.update(a=ends, b=for_ever, c=for_ever)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert run_json(tmp_path)["trials"] == ["a"]
    assert not run_json(tmp_path)["complete"]


@pytest.mark.usefixtures("one_scenario")
def test_a_run_that_ends_by_itself_is_complete(trials: dict[str, Trial], tmp_path: Path) -> None:
    trials.update(a=_ends, b=_ends, c=_ends)
    end = asyncio.run(run.carry_out(Options(folder=tmp_path), Quiet()))
    assert end.exit_code == 0
    assert run_json(tmp_path)["complete"]
    assert run_json(tmp_path)["versions"] == {"kubernetes": "v1"}


# -- residue ------------------------------------------------------------------------------------


def test_what_was_left_while_one_waited_for_the_lease_is_away_before_the_next_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(clusters, "is_current", lambda _: True)
    cluster = SimpleNamespace(folder=tmp_path)
    asked: list[str] = []

    @asynccontextmanager
    async def connect(given: Any) -> AsyncIterator[Any]:
        assert not residue.left_on(given.folder), "it stands on what another trial left"
        yield SimpleNamespace(cluster=given)

    waits = asyncio.Event()

    async def find() -> Any:
        asked.append(residue.left_on(tmp_path))
        if len(asked) == 2:
            waits.set()
        residue.gone(tmp_path)  # as making it anew does
        return cluster

    async def first(began: asyncio.Event) -> None:
        async with leased_cluster(find, exclusive=True, purpose="first"):
            began.set()
            await waits.wait()
            residue.note(tmp_path, ["Node/a is cordoned", "PersistentVolume/x"])

    async def second() -> None:
        async with leased_cluster(find, exclusive=True, purpose="second"):
            pass

    async def both() -> None:
        began = asyncio.Event()
        waiting = asyncio.create_task(first(began))
        await began.wait()
        await asyncio.gather(waiting, second())

    monkeypatch.setattr(connections, "connect", connect)
    asyncio.run(both())
    assert asked == ["", "", "Node/a is cordoned; PersistentVolume/x"]


def test_what_a_death_left_while_one_waited_for_the_lease_is_undone_before_the_next_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(clusters, "is_current", lambda _: True)
    monkeypatch.setattr(healing, "LATE_SECONDS", 0.0)
    cluster = SimpleNamespace(folder=tmp_path)
    undone: list[str] = []

    @undo("left-by-a-death")
    async def undo_it(record: Record, _: World) -> None:
        if record.data["what"] not in undone:
            undone.append(record.data["what"])

    monkeypatch.setattr("harness.undo.ledger.home_of", lambda _: __name__)

    @asynccontextmanager
    async def connect(given: Any) -> AsyncIterator[Any]:
        assert undone == ["a paused node"], "it would be this trial's baseline"
        yield SimpleNamespace(cluster=given)

    async def find() -> Any:
        return cluster

    async def waits() -> None:
        async with leased_cluster(find, exclusive=True, purpose="next"):
            pass

    async def dies_while_another_waits() -> None:
        async with cluster_lease(tmp_path, exclusive=True, purpose="dying"):
            waiting = asyncio.create_task(waits())
            await asyncio.sleep(0.3)
            ledger = Ledger.open()
            ledger.record("left-by-a-death", {"what": "a paused node"}, cluster=None, trial="t")
            ledger.close()
        await waiting

    monkeypatch.setattr(connections, "connect", connect)
    asyncio.run(dies_while_another_waits())
    assert undone == ["a paused node"]


def test_one_who_waited_for_a_cluster_that_was_made_anew_looks_for_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    known = [SimpleNamespace(folder=tmp_path, uid=uid) for uid in ("old", "new")]
    monkeypatch.setattr(clusters, "is_current", lambda given: given.uid == "new")
    found = iter(known)

    @asynccontextmanager
    async def connect(given: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(cluster=given)

    async def find() -> Any:
        return next(found)

    async def uid() -> str:
        async with leased_cluster(find, exclusive=False, purpose="a trial") as given:
            return str(given.cluster.uid)

    monkeypatch.setattr(connections, "connect", connect)
    assert asyncio.run(uid()) == "new"


def test_what_a_trial_leaves_is_noted_under_its_lease_and_its_verdict_told_on_a_full_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = SimpleNamespace(folder=tmp_path)
    noted: list[str] = []

    @asynccontextmanager
    async def lease(*_: Any, **__: Any) -> AsyncIterator[Any]:
        try:
            yield SimpleNamespace(cluster=cluster)
        finally:
            noted.append(residue.left_on(tmp_path))

    async def equip(*_: Any) -> None:
        pass

    async def run_trial(*_: Any) -> Ended:
        return Ended(calm().until(), ("Node/a is cordoned",))

    def full(path: Path, _: Any) -> None:
        raise HostError(f"{path} cannot be written", remedy="free disk space")

    class Tells(Quiet):
        def end(self, trial: str, result: Result) -> None:
            told.append((trial, result.verdict))

    told: list[tuple[str, str]] = []
    monkeypatch.setattr(schedule, "leased_cluster", lease)
    monkeypatch.setattr(schedule, "equip", equip)
    monkeypatch.setattr(schedule, "run_trial", run_trial)
    monkeypatch.setattr(schedule, "write_json", full)
    each = plan("a", tmp_path, exclusive=True)
    each.scenario = SimpleNamespace(slug="slow", title="slow", objectives=declared())
    each.expect = Expect("survived")
    each.placement.faults, each.placement.trial = [], "a1"
    with pytest.raises(HostError):
        asyncio.run(schedule.leased(each, _nowhere, Tells()))
    assert told == [("a1", "survived")]
    assert noted == ["Node/a is cordoned"]
