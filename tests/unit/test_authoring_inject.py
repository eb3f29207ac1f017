"""The block of `inject` on a stage without a cluster: order, proof, healing on every way out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from harness.authoring import injection
from harness.authoring.app import App
from harness.authoring.injection import injecting
from harness.declare import Scope
from harness.errors import FaultError, Inconclusive, UsageError
from harness.faults.base import SUPPORTED, Achieved, Fault, FaultContext, Met, Support
from harness.history.history import History
from harness.history.writer import Writer
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role


@dataclass(frozen=True)
class Switch(Fault):
    """A fault that is a word in a set; `works` False does nothing."""

    world: set[str] = field(default_factory=set, compare=False)
    works: bool = True
    unsupported: str = ""
    prepared: bool = False
    used: bool = True

    @property
    def onset(self) -> str:
        return f"{self.target} switched"

    def describe(self) -> str:
        return f"{self.target} off"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        return Support("unsupported", self.unsupported) if self.unsupported else SUPPORTED

    def prepare(self, objects: Sequence[Object], ctx: FaultContext) -> list[Object]:
        return [*objects, {"kind": "Proxy"}] if self.prepared else list(objects)

    async def inject(self, ctx: FaultContext) -> None:
        if self.works:
            self.world.add(self.target)

    async def measure(self, ctx: FaultContext) -> Achieved:
        off = self.target in self.world
        note = "off" if off else "on again" if cast(Any, ctx).healed else "still on"
        met = (Met("pod-1", "it was off"),) if off and self.used else ()
        return Achieved(off, {}, {"off": off}, note, met)


@dataclass(frozen=True)
class NodeSwitch(Switch):
    """One that reaches further."""

    scope: ClassVar[Scope] = "node"


class Stage:
    """What `injecting` uses of a stage; healing is recorded in `log`."""

    def __init__(self, folder: Path) -> None:
        self.history = History()
        self.writer = Writer(folder, mirror=self.history)
        self.faults: list[Fault] = []
        self.objects: list[Object] = []
        self.log: list[str] = []
        self.context = SimpleNamespace(role=lambda name: name, healed=False)
        self.roles = {"database": None, "cache": None}
        self.placement = SimpleNamespace(
            faults=[],
            isolation=SimpleNamespace(objects=[]),
            subject=SimpleNamespace(directory=folder),
        )

    def add_fault(self, fault: Fault) -> int:
        if fault not in self.faults:
            self.faults.append(fault)
            self.history.faults.append(fault.facts())
        return self.faults.index(fault)

    def about_to_inject(self) -> frozenset[str]:
        return frozenset()

    async def measure(self, index: int) -> bool:
        got = await self.faults[index].measure(cast(FaultContext, self.context))
        self.writer.append(
            "measurement",
            fault=index,
            felt=got.felt,
            asked=got.asked,
            achieved=got.achieved,
            note=got.note,
        )
        for each in got.met:
            self.writer.append("met", fault=index, **asdict(each))
        return got.felt

    async def heal(self, *, before: frozenset[str], faults: Sequence[int]) -> None:
        for index in faults:
            fault = cast(Switch, self.faults[index])
            fault.world.discard(fault.target)
            self.context.healed = True
            await self.measure(index)
            self.log.append(f"healed {fault.target}")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.log.append(name)
        self.writer.append("phase", phase=name, edge="begin")
        try:
            yield
        finally:
            self.writer.append("phase", phase=name, edge="end")


class Silence:
    """A failing wait has nothing to add."""

    def active_faults(self) -> list[str]:
        return []

    def recent_warnings(self) -> list[str]:
        return []


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setattr(injection, "MEASURE_EVERY_S", 0.01)
    monkeypatch.setattr(injection, "_POLL_S", 0.01)
    made = App.__new__(App)
    made.stage = cast(Any, Stage(tmp_path))
    made.injected, made.generator, made.loaded, made.notes = [], None, False, []
    made._phase = ExitStack()
    yield made
    made.enter(None)
    made.stage.writer.close()


def block(app: App, *faults: Fault, alone: bool = False) -> Any:
    return injecting(app, faults, control="0s", alone=alone, context=Silence(), say=lambda _: None)


def log(app: App) -> list[str]:
    return cast(Stage, app.stage).log


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not check():  # noqa: ASYNC110 - the very thing under test signals nothing
            await asyncio.sleep(0.005)


def test_the_phases_of_a_block(app: App) -> None:
    fault = Switch("database")

    async def work() -> None:
        async with block(app, fault) as injected:
            await injected.until_felt()
            await until(lambda: app.stage.history.phase("sustain") is not None)
            assert injected.felt
            assert injected.achieved == {"off": True}
        assert injected.achieved == {"off": True}, "what is measured after the heal is not achieved"

    asyncio.run(work())
    assert log(app) == ["control", "inject", "felt", "sustain", "heal", "healed database"]
    assert not fault.world


def test_a_block_left_before_the_fault_was_felt_raises_after_healing(app: App) -> None:
    fault = Switch("database", works=False)

    async def work() -> None:
        async with block(app, fault):
            await asyncio.sleep(0.05)

    with pytest.raises(FaultError, match=r"database off was not felt.*last measurement: still on"):
        asyncio.run(work())
    assert log(app)[-1] == "healed database"


def test_a_fault_that_nobody_of_the_application_met_proves_nothing(app: App) -> None:
    fault = Switch("database", used=False)

    async def work() -> None:
        async with block(app, fault) as injected:
            await injected.until_felt()

    with pytest.raises(Inconclusive, match="subject: database off: nobody of the subject was seen"):
        asyncio.run(work())
    assert not fault.world


def test_until_felt_gives_up_with_what_was_measured(app: App) -> None:
    fault = Switch("database", works=False)

    async def work() -> None:
        async with block(app, fault) as injected:
            await injected.until_felt(within="50ms")

    with pytest.raises(FaultError, match=r"database off is felt(.|\n)*last measurement: still on"):
        asyncio.run(work())
    assert log(app)[-1] == "healed database"


@pytest.mark.parametrize("error", [KeyError("mine"), asyncio.CancelledError(), KeyboardInterrupt()])
def test_every_error_in_a_block_heals_and_is_what_the_author_sees(
    app: App, error: BaseException
) -> None:
    fault = Switch("database")

    async def work() -> None:
        async with block(app, fault) as injected:
            await injected.until_felt()
            raise error

    with pytest.raises(type(error)):
        asyncio.run(work())
    assert log(app)[-1] == "healed database"
    assert not fault.world
    assert f"{type(error).__name__} was raised while injected: database off" in app.notes[0]


def test_an_error_of_the_measuring_is_raised_and_healed(app: App) -> None:
    class Broken(Switch):
        async def measure(self, ctx: FaultContext) -> Achieved:
            if "database" in self.world:
                raise FaultError("the measuring pod is gone", remedy="none")
            return await super().measure(ctx)

    async def work() -> None:
        async with block(app, Broken("database")) as injected:
            await injected.until_felt()

    with pytest.raises(FaultError, match="the measuring pod is gone"):
        asyncio.run(work())
    assert log(app)[-1] == "healed database"


def test_nested_blocks_heal_their_own_and_are_one_story(app: App) -> None:
    outer, inner = Switch("database"), Switch("cache")

    async def work() -> None:
        async with block(app, outer) as first:
            await first.until_felt()
            async with block(app, inner) as second:
                await second.until_felt()
            assert outer.world == {"database"}
            assert not inner.world
            assert "heal" not in log(app)

    asyncio.run(work())
    assert [entry for entry in log(app) if entry.startswith("heal")] == [
        "healed cache",
        "heal",
        "healed database",
    ]
    assert log(app).count("inject") == 1


def test_what_is_felt_before_its_injection_proves_nothing(app: App) -> None:
    fault = Switch("database", {"database"})

    async def work() -> None:
        async with block(app, fault):
            raise AssertionError("the block must not be entered")

    with pytest.raises(Inconclusive, match="subject: database off is felt before it was injected"):
        asyncio.run(work())
    assert fault.world, "what was there before is not ours to heal"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Switch("queue"), "binds no role 'queue'"),
        (Switch("cache", unsupported="no pods"), "cache off: no pods"),
        (Switch("cache", prepared=True), "needs something in the path before the pods start"),
        (NodeSwitch("cache"), r"reaches beyond the application's namespaces \(node\)"),
    ],
)
def test_what_cannot_be_injected_is_refused_with_a_remedy(
    app: App, fault: Fault, message: str
) -> None:
    async def work() -> None:
        async with block(app, fault):
            raise AssertionError("the block must not be entered")

    with pytest.raises(UsageError, match=message) as refused:
        asyncio.run(work())
    assert refused.value.remedy
    assert log(app) == []


def test_two_faults_at_one_target_could_not_be_told_apart(app: App) -> None:
    async def work() -> None:
        async with block(app, Switch("database")) as first:
            await first.until_felt()
            async with block(app, Switch("database", works=False)):
                raise AssertionError("the block must not be entered")

    with pytest.raises(UsageError, match="is in at the same target"):
        asyncio.run(work())
    assert log(app)[-1] == "healed database"
