"""The order of a trial's phases, and that healing and removal come whatever happens.

A stage that only remembers stands in for the world; the order itself is the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from judged import EDGES, Says, Slow, calm

from harness.declare import Expect, Finding, Load, Scenario
from harness.errors import (
    FaultError,
    HarnessError,
    HostError,
    ManifestError,
)
from harness.history.history import History
from harness.history.records import PHASES
from harness.judgement import verdict
from harness.trial import trial
from harness.trial.placement import CannotConclude
from harness.trial.stage import Stage as RealStage
from harness.trial.steps import Steps

DONE = Finding("met", "done", holds=True)
ALL = list(PHASES)


class Remembers(Slow):
    """A fault that says when it was injected."""

    felt_within = "0.3s"
    after: str | None = None

    async def inject(self, ctx: Any) -> None:
        """Tell the stage."""
        await ctx.stage.act("inject the fault")

    def target_support(self, role: Any, objects: Any) -> Any:
        """Supported."""
        return SimpleNamespace(state="supported", why="")


class Stage:
    """What `trial.stage.Stage` offers, without a world; `fails` maps a step to its error."""

    fails: dict[str, BaseException]
    given: Sequence[Any] = (Remembers(),)

    def __init__(self, placement: Any, connections: Any, listener: Any) -> None:
        self.placement: Any = SimpleNamespace(load=Load())
        self.steps: list[str] = []
        self.phases: list[str] = []
        self.problems: list[tuple[str, str]] = []
        self.felt_by = True
        self.history: History = calm().until(40)
        self.history.records.clear()
        self.history.problems.clear()
        self.faults: list[Any] = list(self.given)
        self.after_release: list[Any] = []
        self.namespaces = ["n"]
        self.context: Any = SimpleNamespace(role=lambda name: name, stage=self)
        self.observer: Any = self
        self.writer: Any = SimpleNamespace(append=lambda *a, **k: None, close=lambda: None)
        LAST.append(self)

    async def act(self, step: str) -> None:
        """A step of the world: remembered, or the planted error."""
        self.steps.append(step)
        await asyncio.sleep(0)
        if step in self.fails:
            raise self.fails[step]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Remember the order."""
        self.phases.append(name)
        yield

    @asynccontextmanager
    async def watching(self, namespaces: Any) -> AsyncIterator[None]:
        """Nothing to watch."""
        yield

    def introduce(self) -> None:
        """Fails like `facts` does."""
        self.steps.append("introduce")
        if "introduce" in self.fails:
            raise self.fails["introduce"]

    def about_to_inject(self) -> frozenset[str]:
        """Nothing to note."""
        return frozenset()

    async def prepare(self) -> None:
        """A step."""
        await self.act("prepare")

    async def deploy(self) -> None:
        """A step."""
        await self.act("deploy")

    async def ready_the_load(self, stack: AsyncExitStack) -> None:
        """A step."""
        await self.act("ready the load")

    async def load(self, stack: AsyncExitStack) -> Any:
        """A generator that is well."""
        await self.act("load")

        async def stop() -> None:
            await self.act("stop the load")

        return SimpleNamespace(check=lambda: None, stop=stop)

    async def measure(self, index: int) -> bool:
        """Felt from injection on."""
        await self.act("measure")
        return "inject the fault" in self.steps and self.felt_by

    async def heal(self) -> None:
        """A step."""
        await self.act("heal")

    async def remove(self) -> tuple[str, ...]:
        """Nothing left."""
        await self.act("remove")
        return ()

    async def read_audit(self) -> None:
        """A step."""
        await self.act("read the audit log")

    async def residue(self) -> tuple[str, ...]:
        """Nothing left."""
        await self.act("look for residue")
        return ()

    def problem(self, blame: str, message: str) -> None:
        """Remember it."""
        self.problems.append((blame, message))

    def tell(self, done: float, total: float, text: str) -> None:
        """Nobody listens."""


LAST: list[Stage] = []
# Held by mypy: a step that the real stage does otherwise cannot be faked here.
FAKE: type[Steps] = Stage
REAL: type[Steps] = RealStage


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real order upon the stage above, without waiting for real seconds."""
    monkeypatch.setattr(trial, "Stage", FAKE)
    monkeypatch.setattr(trial, "MEASURE_EVERY_S", 0.01)
    monkeypatch.setattr(Stage, "fails", {}, raising=False)
    monkeypatch.setattr(verdict, "settled", lambda *_: True)


def plan(in_control: Finding = DONE) -> Any:
    scenario = Scenario(
        title="t",
        source="s",
        subject="x",
        faults=[Remembers()],
        objectives=[Says(DONE, in_control)],
        variants={"v": Expect("survived")},
        control="10ms",
    )
    return SimpleNamespace(
        placement=None,
        scenario=scenario,
        variant="v",
        expect=Expect("survived"),
    )


def carry_out(
    fails: Mapping[str, BaseException] | None = None, *, in_control: Finding = DONE
) -> tuple[Stage, Any]:
    Stage.fails = dict(fails or {})
    connections = SimpleNamespace()
    ended = asyncio.run(
        trial.run_trial(
            plan(in_control),
            connections,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            lambda: LAST[-1].steps.append("removing"),
        )
    )
    return LAST[-1], ended


def test_every_phase_in_the_order_of_the_design() -> None:
    stage, ended = carry_out()
    assert stage.phases == ALL == list(EDGES)
    assert stage.problems == []
    assert ended.residue == ()
    fault = ["inject the fault", "heal", "stop the load"]
    order = ["prepare", "ready the load", "deploy", "load", *fault, "removing", "remove"]
    assert [step for step in stage.steps if step in order] == order


class AfterTheFirst(Remembers):
    """Injected once the one before it is felt."""

    after = "felt"


def test_a_fault_may_wait_until_those_before_it_are_felt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "given", (Remembers(), AfterTheFirst()))
    stage, _ = carry_out()
    first = stage.steps.index("inject the fault")
    second = stage.steps.index("inject the fault", first + 1)
    assert stage.steps[first + 1 : second] == ["measure"]


def test_a_fault_may_wait_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AfterTheFirst, "after", "30ms")
    monkeypatch.setattr(Stage, "given", (Remembers(), AfterTheFirst()))
    stage, _ = carry_out()
    first = stage.steps.index("inject the fault")
    second = stage.steps.index("inject the fault", first + 1)
    assert stage.steps[first + 1 : second].count("measure") > 1, "it is kept up meanwhile"


def broken(what: str) -> HarnessError:
    return FaultError(f"{what} is broken", remedy="mend it")


@pytest.mark.parametrize(
    ("step", "phases"),
    [
        ("introduce", ["preflight"]),
        ("prepare", ALL[:2]),
        ("deploy", ALL[:3]),
        ("load", ALL[:3]),
        ("inject the fault", [*ALL[:5], "heal"]),
        ("heal", ALL[:8]),
        ("stop the load", ALL[:9]),
    ],
)
def test_error_leads_to_removal_and_proof(step: str, phases: list[str]) -> None:
    stage, _ = carry_out({step: broken(step)})
    assert stage.phases == [*phases, "remove", "prove clean"]
    assert stage.problems == [("harness", f"{step} is broken\n  remedy: mend it")]


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (HostError("x", remedy="y"), "host"),
        (ManifestError("x", remedy="y"), "subject"),
        (FaultError("x", remedy="y"), "harness"),
    ],
)
def test_blame_follows_from_the_kind_of_error(error: HarnessError, blame: str) -> None:
    stage, _ = carry_out({"deploy": error})
    assert [b for b, _ in stage.problems] == [blame]


@pytest.mark.parametrize("step", ["introduce", "deploy", "inject the fault", "stop the load"])
def test_a_defect_is_healed_and_removed_like_any_error_and_blames_the_harness(step: str) -> None:
    stage, _ = carry_out({step: ZeroDivisionError("division by zero")})
    assert stage.phases[-2:] == ["remove", "prove clean"]
    assert ("heal" in stage.phases) == ("inject" in stage.phases)
    assert stage.problems == [("harness", "a defect: ZeroDivisionError: division by zero")]


def test_fault_is_healed_when_measuring_fails() -> None:
    class Fails(dict[str, BaseException]):
        def __contains__(self, key: object) -> bool:
            return key == "measure" and "inject the fault" in LAST[-1].steps

        def __getitem__(self, key: str) -> BaseException:
            return broken("measure")

    Stage.fails = Fails()
    connections = SimpleNamespace()
    asyncio.run(trial.run_trial(plan(), connections, None, lambda: None))  # type: ignore[arg-type]
    assert LAST[-1].phases == [*ALL[:6], "heal", "remove", "prove clean"]


def test_lost_control_run_ends_before_anything_is_broken() -> None:
    stage, _ = carry_out(in_control=Finding("broken", "it does not serve"))
    assert stage.phases == [*ALL[:4], "remove", "prove clean"]
    assert stage.problems == [("subject", "before any fault: it does not serve")]
    assert "inject the fault" not in stage.steps


def test_control_without_an_answer_blames_the_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "poll", _forget_requests)
    stage, _ = carry_out(in_control=Finding("broken", "availability 0 %"))
    assert [blame for blame, _ in stage.problems] == ["harness"]
    assert "the load never arrived" in stage.problems[0][1]


def _forget_requests(history: History) -> None:
    history.requests = history.requests.between(0, 1)


def test_fault_that_is_felt_before_it_was_injected(monkeypatch: pytest.MonkeyPatch) -> None:
    async def always(self: Stage, index: int) -> bool:
        return True

    monkeypatch.setattr(Stage, "measure", always)
    stage, _ = carry_out()
    assert stage.phases == [*ALL[:4], "remove", "prove clean"]
    assert stage.problems[0][0] == "subject"
    assert "felt already" in stage.problems[0][1]


def test_inconclusive_keeps_its_own_blame() -> None:
    stage, _ = carry_out({"deploy": CannotConclude("host", "no room")})
    assert [blame for blame, _ in stage.problems] == ["host"]


@pytest.mark.parametrize(
    ("step", "error", "told"),
    [
        ("remove", broken("heal"), "remove: heal is broken"),
        ("remove", OSError("no space left"), "remove: OSError: no space left"),
        ("look for residue", broken("API"), "prove clean: API is broken"),
        ("look for residue", KeyError("uid"), "prove clean: KeyError: 'uid'"),
    ],
)
def test_cleaning_that_fails_is_residue_and_the_verdict_stays(
    step: str, error: Exception, told: str
) -> None:
    stage, ended = carry_out({step: error})
    assert stage.phases == ALL
    assert stage.steps[-2:] == ["remove", "look for residue"]
    assert ended.residue == (told,)
    assert stage.problems == []


@pytest.mark.parametrize("step", ["deploy", "measure", "inject the fault", "stop the load"])
def test_interrupted_it_heals_and_removes_and_says_nothing_of_a_verdict(step: str) -> None:
    with pytest.raises(asyncio.CancelledError):
        carry_out({step: asyncio.CancelledError()})
    stage = LAST[-1]
    assert stage.phases[-1] == "remove"
    assert stage.steps[-1] == "remove"
    if "inject the fault" in stage.steps:
        assert stage.steps.index("heal") > stage.steps.index("inject the fault")
    assert stage.problems == []
