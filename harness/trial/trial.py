"""One trial, its phases in reading order: the only place that knows the order.

preflight, prepare, deploy, control, inject, felt, sustain, heal, recover, remove, prove clean. A
trial records; it stores no verdict. It asks the objectives only whether they are still open, to end
a phase early or to stop when the control run is lost. Whatever happens in between, healing comes
from the ledger, and comes last.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from harness.declare import Bounded, Expect, Scenario
from harness.errors import HarnessError, HostError, ManifestError, WaitTimeout
from harness.faults.base import Fault
from harness.history.history import History
from harness.judgement import verdict
from harness.judgement.exposure import exposures, felt
from harness.kube.eventually import eventually
from harness.load.generator import Generator
from harness.trial.placement import CannotConclude, Connections, Listener, Placement
from harness.trial.stage import Stage
from harness.trial.steps import Steps
from harness.units import seconds

SUSTAIN_MARGIN_S = 60.0
RECOVER_MARGIN_S = 20.0
MEASURE_EVERY_S = 1.0
"""Pause between two measurements of the faults; each also renews what expires by itself."""


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What one trial is to do."""

    placement: Placement
    scenario: Scenario
    variant: str
    expect: Expect


@dataclass(frozen=True)
class Ended:
    """What a trial leaves behind: its history, and what could not be removed."""

    history: History
    residue: tuple[str, ...]


async def run_trial(
    plan: TrialPlan, connections: Connections, listener: Listener, removing: Callable[[], None]
) -> Ended:
    """Carry out one trial and return its history; raises only if it was interrupted.

    Whatever else goes wrong is a `problem` in the history, which makes the verdict inconclusive.
    `removing` is called when nothing is judged any more and the subject is only taken away.
    """
    stage = Stage(plan.placement, connections, listener)
    try:
        residue = await _Trial(plan, stage, removing).run()
    finally:
        stage.writer.close()
    stage.history.poll()
    return Ended(stage.history, residue)


class _Trial:
    """The phases."""

    def __init__(self, plan: TrialPlan, stage: Steps, removing: Callable[[], None]) -> None:
        self.plan = plan
        self.stage = stage
        self.removing = removing
        self.history = stage.history
        self.objectives = plan.scenario.objectives
        self.faults = stage.faults

    async def run(self) -> tuple[str, ...]:
        """All phases; returns the residue, in words."""
        stage = self.stage
        left: list[str] = []
        try:
            try:
                with stage.phase("preflight"):
                    self._preflight()
                with stage.phase("prepare"):
                    await stage.prepare()
                async with (
                    stage.observer.watching(stage.namespaces),
                    AsyncExitStack() as under_load,
                ):
                    await stage.ready_the_load(under_load)
                    with stage.phase("deploy"):
                        await stage.deploy()
                    await self._under_load(await stage.load(under_load))
            except CannotConclude as reason:
                stage.problem(reason.blame, str(reason))
            except HarnessError as error:
                stage.problem(_blame(error), f"{error.message}\n  remedy: {error.remedy}")
            except Exception as error:  # noqa: BLE001 - a defect of ours is nobody's verdict
                stage.writer.append("note", text=traceback.format_exc())
                stage.problem("harness", f"a defect: {type(error).__name__}: {error}")
        finally:
            self.removing()
            # Also when interrupted: an asyncio task may await freely once its cancellation came.
            left += await self._cleaned("remove", stage.remove)
        left += await self._cleaned("prove clean", stage.residue)
        return tuple(left)

    async def _cleaned(self, phase: str, step: Callable[[], Awaitable[Iterable[str]]]) -> list[str]:
        """What a step of cleaning could not remove; whatever goes wrong in it, the verdict stands
        already."""
        with self.stage.phase(phase):
            try:
                return list(await step())
            except HarnessError as error:
                return [f"{phase}: {error.message}"]
            except Exception as error:  # noqa: BLE001 - told as residue, which ends with exit 3
                return [f"{phase}: {type(error).__name__}: {error}"]

    def _preflight(self) -> None:
        stage = self.stage
        stage.introduce()
        for fault in self.faults:
            support = fault.target_support(stage.context.role(fault.target), stage.after_release)
            if support.state == "unsupported":
                raise CannotConclude("subject", f"{fault.describe()}: {support.why}")
            if support.state == "degraded":
                stage.writer.append("note", text=f"{fault.describe()}: {support.why}")

    async def _under_load(self, generator: Generator) -> None:
        """Control, inject, felt, sustain, heal, recover; the fault is healed on every way out."""
        stage = self.stage
        with stage.phase("control"):
            await self._control(generator)
        await self._control_held()
        try:
            with stage.phase("inject"):
                stage.about_to_inject()
                for index, fault in enumerate(self.faults):
                    await self._its_turn(index, fault)
                    await fault.inject(stage.context)
            with stage.phase("felt"):
                await self._felt(generator)
            with stage.phase("sustain"):
                await self._sustain(generator)
        finally:
            with stage.phase("heal"):
                await stage.heal()
        with stage.phase("recover"):
            await self._recover(generator)
        await generator.stop()
        await stage.read_audit()

    async def _control(self, generator: Generator) -> None:
        """The same load and the same path, without the fault."""
        length = seconds(self.plan.scenario.control)
        begin = time.monotonic()
        while True:
            generator.check()
            if felt := await self._measure(range(len(self.faults))):
                what = " and ".join(self.faults[index].describe() for index in sorted(felt))
                raise CannotConclude(
                    "subject",
                    f"before any fault: {what} is felt already, so the fault could not be told "
                    "from the subject's own state",
                )
            passed = time.monotonic() - begin
            if passed >= length:
                return
            self.stage.tell(passed, length, "serving without a fault")
            await asyncio.sleep(min(MEASURE_EVERY_S, length - passed))

    async def _measure(self, indices: Iterable[int]) -> set[int]:
        """Which of these faults are felt, all asked at once: a measurement that takes long must
        not tear a gap into another fault's. Every one has ended when this returns or raises."""
        asked = list(indices)
        got = await asyncio.gather(*map(self.stage.measure, asked), return_exceptions=True)
        for each in got:
            if isinstance(each, BaseException):
                raise each
        return {index for index, was_felt in zip(asked, got, strict=True) if was_felt}

    async def _control_held(self) -> None:
        """A subject that does not serve without the fault is not broken any further."""
        window = self.history.phase("control")
        assert window is not None

        def settled() -> bool:
            self.history.poll()
            return self.history.requests.between(window.begin, window.end).settled

        # Requests of the last moment are still on their way; none takes longer than its timeout.
        limit = seconds(self.stage.placement.load.timeout) + 5
        try:
            await eventually(
                settled,
                within=limit,
                every=0.05,
                what="every request of the control phase has its outcome",
                context=self.stage.observer,
            )
        except WaitTimeout as error:
            raise CannotConclude(
                "host", f"the load generator fell behind: outcomes are missing after {limit:.0f} s"
            ) from error
        findings = verdict.control_findings(self.history, self.objectives)
        lost = verdict.control_lost(self.history, findings)
        if lost is not None:
            _, blame, reasons = lost
            raise CannotConclude(blame or "harness", "; ".join(reasons))

    async def _its_turn(self, index: int, fault: Fault) -> None:
        """Waits for when a fault is to be injected; those before it are measured meanwhile."""
        if fault.after is None:
            return
        earlier = range(index)
        waits = seconds(fault.felt_within if fault.after == "felt" else fault.after)
        deadline = time.monotonic() + waits
        while (left := deadline - time.monotonic()) > 0:
            got = await self._measure(earlier)
            if fault.after == "felt" and len(got) == len(earlier):
                return
            await asyncio.sleep(min(MEASURE_EVERY_S, left))

    async def _felt(self, generator: Generator) -> None:
        deadline = time.monotonic() + max(seconds(f.felt_within) for f in self.faults)
        waiting = set(range(len(self.faults)))
        while waiting and time.monotonic() < deadline:
            generator.check()
            waiting -= await self._measure(range(len(self.faults)))
            self.stage.tell(len(self.faults) - len(waiting), len(self.faults), "faults felt")
            if waiting:
                await asyncio.sleep(MEASURE_EVERY_S)

    async def _sustain(self, generator: Generator) -> None:
        """Until exposure is reached or all evidence is in; the bound only ends a lost trial."""
        needed = [e.seconds for e in exposures(self.history, self.objectives)]
        longest = max(*needed, *self._bounds())
        deadline = time.monotonic() + longest + SUSTAIN_MARGIN_S
        if not all(felt(self.history, i).ever for i in range(len(self.faults))):
            return
        while time.monotonic() < deadline:
            generator.check()
            self.history.poll()
            if verdict.settled(self.history, self.objectives, self.plan.expect):
                return
            await self._measure(range(len(self.faults)))
            so_far = [(felt(self.history, i).seconds, e) for i, e in enumerate(needed)]
            self.stage.tell(*min(so_far, key=lambda each: each[0] - each[1]), "felt")
            await asyncio.sleep(MEASURE_EVERY_S)

    async def _recover(self, generator: Generator) -> None:
        """Until no objective is open; bounded by what they allow."""
        total = max(self._bounds()) + RECOVER_MARGIN_S
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < total:
            generator.check()
            self.history.poll()
            if verdict.decided(self.history, self.objectives):
                return
            self.stage.tell(passed, total, "recovering")
            await asyncio.sleep(0.5)

    def _bounds(self) -> list[float]:
        """Seconds that the objectives allow for what they wait for; 0 among them."""
        facts = self.history.facts
        return [0.0, *(o.bound(facts) for o in self.objectives if isinstance(o, Bounded))]


def _blame(error: HarnessError) -> str:
    if isinstance(error, HostError):
        return "host"
    return "subject" if isinstance(error, ManifestError) else "harness"
