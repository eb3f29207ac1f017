"""The real stage with a real ledger: what it undoes, in which order, and what it measures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import WaitTimeout
from harness.faults.base import Achieved, Fault, FaultContext
from harness.runs.options import Quiet
from harness.trial.stage import Stage
from harness.undo import baseline
from harness.undo.ledger import Ledger
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDONE: list[str] = []


@undo("stage-thing")
async def undo_thing(record: Record, _: World) -> None:
    if record.data["name"] == "stuck":
        raise RuntimeError("it does not go")
    UNDONE.append(record.data["name"])


@dataclass(frozen=True)
class Broken(Fault):
    """Felt as often as its answers say."""

    answers: tuple[bool, ...] = ()

    @property
    def onset(self) -> str:
        return "it broke"

    def describe(self) -> str:
        return "something broken"

    async def inject(self, ctx: FaultContext) -> None:
        ctx.record("stage-thing", {"name": "the fault"})

    async def measure(self, ctx: FaultContext) -> Achieved:
        felt = next(ANSWERS, False)
        return Achieved(felt, {}, {}, f"felt: {felt}")


ANSWERS: Iterator[bool] = iter(())


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """One that has no cluster: nothing here asks for it."""
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    UNDONE.clear()
    cluster = SimpleNamespace(
        name="unit", uid="u", kubeconfig="/nowhere", context="kind-unit", control_planes=()
    )
    subject = SimpleNamespace(subject=SimpleNamespace(namespace="shop"))
    placement: Any = SimpleNamespace(
        trial="t1",
        placed_roles=dict,
        folder=tmp_path / "trial",
        faults=[Broken("workload")],
        isolation=SimpleNamespace(namespaces={"shop": "shop-t1"}, objects=[]),
        subject=subject,
        released=[],
        images={},
        scale=1,
        exclusive=True,
    )
    with Ledger.open() as ledger:
        connections: Any = SimpleNamespace(
            cluster=cluster, kube=None, nodes=None, ledger=ledger, world=None
        )
        yield Stage(placement, connections, Quiet())


def changed(stage: Stage, *names: str) -> None:
    for name in names:
        stage.context.record("stage-thing", {"name": name})


def test_everything_is_undone_newest_first(stage: Stage) -> None:
    changed(stage, "first", "second")
    asyncio.run(stage.remove())
    assert UNDONE == ["second", "first"]
    assert stage.connections.ledger.open_records == []


def test_one_that_cannot_be_undone_keeps_no_other_from_being_undone(stage: Stage) -> None:
    changed(stage, "first", "stuck", "third")
    (left,) = asyncio.run(stage.remove())
    assert left.startswith("not undone: stage-thing")
    assert "it does not go" in left
    assert UNDONE == ["third", "first"]


def test_the_heal_takes_what_the_injection_did_and_leaves_the_deployment(stage: Stage) -> None:
    changed(stage, "namespace")
    stage.about_to_inject()
    asyncio.run(stage.faults[0].inject(stage.context))
    asyncio.run(stage.heal())
    assert UNDONE == ["the fault"]


def test_what_a_fault_measured_is_recorded_as_it_was(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ANSWERS", iter([False, True]))
    felt = [asyncio.run(stage.measure(0)) for _ in range(2)]
    assert felt == [m.felt for m in stage.history.measurements] == [False, True]


def test_a_fault_that_is_felt_after_its_heal_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Broken, "healed_within", "0.5s")
    monkeypatch.setitem(globals(), "ANSWERS", iter([True] * 1000))
    with stage.phase("inject"):
        stage.about_to_inject()
    asyncio.run(stage.measure(0))
    with pytest.raises(WaitTimeout, match="no longer felt"), stage.phase("heal"):
        asyncio.run(stage.heal())


def test_what_differs_afterwards_is_residue(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def snapshot(*_: Any) -> Any:
        return None

    monkeypatch.setattr("harness.trial.stage.SETTLED_S", 0.0)
    monkeypatch.setattr(baseline, "snapshot", snapshot)
    monkeypatch.setattr(baseline, "compare", lambda *_: ["Node/a is cordoned"])
    assert asyncio.run(stage.residue()) == (), "nothing was looked at before"
    stage._before = object()  # type: ignore[assignment]
    assert asyncio.run(stage.residue()) == ("Node/a is cordoned",)
    assert [r["what"] for r in stage.history.records if r["type"] == "residue"] == [
        ["Node/a is cordoned"]
    ]
