"""One trial under its lease: what others left is away before, what it leaves is known after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from judged import calm, declared

from harness.cluster import clusters, residue
from harness.cluster.leases import cluster_lease
from harness.declare import Expect
from harness.errors import HostError
from harness.judgement.verdict import Result
from harness.runs import connections, schedule
from harness.runs.connections import leased_cluster
from harness.runs.options import Quiet
from harness.trial.trial import Ended
from harness.undo import healing
from harness.undo.ledger import Ledger
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo


def plan(name: str, folder: Path, *, exclusive: bool = False) -> Any:
    placement = SimpleNamespace(exclusive=exclusive, folder=folder / name)
    return SimpleNamespace(variant=name, placement=placement)


async def _nowhere() -> Any:
    raise AssertionError("no cluster is asked for")


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
        asyncio.run(schedule.leased(each, _nowhere, Tells(), lambda: None))
    assert told == [("a1", "survived")]
    assert noted == ["Node/a is cordoned"]
