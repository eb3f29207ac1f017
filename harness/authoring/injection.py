"""A fault for the length of a block: the control run before it, proof that it is felt, healing.

However the block is left, what was injected is healed, from the ledger; then it must no longer be
felt. A block that is left before the fault was felt has proven nothing, and says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from harness.authoring.app import App, Target
from harness.declare import Exposure, Objective
from harness.errors import FaultError, Inconclusive, UsageError, WaitTimeout
from harness.faults.base import Fault
from harness.history.facts import Json
from harness.history.records import Measurement, Window
from harness.host.signals import Say, deferred
from harness.judgement.exposure import exposure_needed, felt
from harness.judgement.trust import not_met
from harness.kube.eventually import FailureContext, eventually
from harness.objectives import availability, restarts
from harness.trial.trial import MEASURE_EVERY_S, SUSTAIN_MARGIN_S
from harness.units import Duration, seconds

CONTROL = "8s"
"""How long the load must have been served before the fault, as in scenarios."""
SERVED = 0.99
"""Share of the requests that must have succeeded by then."""

_POLL_S = 0.2


class Injected:
    """Faults that are in. They are measured about once a second for as long as the block lasts."""

    def __init__(self, app: App, faults: Sequence[Fault], context: FailureContext) -> None:
        self.app = app
        self.faults = tuple(faults)
        self.indices = [app.stage.add_fault(f) for f in faults]
        self.outermost = not app.injected
        self._context = context
        self._measuring: asyncio.Task[None] | None = None
        self._left: int | None = None

    # -- for authors ------------------------------------------------------------------------

    @property
    def felt(self) -> bool:
        """True if every fault has been felt since it was injected."""
        return all(felt(self.app.stage.history, i).ever for i in self.indices)

    @property
    def seconds(self) -> float:
        """How long every one of the faults has been felt without a break."""
        history = self.app.stage.history
        return min(felt(history, i).seconds for i in self.indices)

    @property
    def achieved(self) -> Json:
        """What the last measurement of the (first) fault achieved; empty before the first one."""
        found = [m.achieved for m in self._measurements() if m.fault == self.indices[0]]
        return found[-1] if found else {}

    def describe(self) -> str:
        """What is asked of which target."""
        return " and ".join(f.describe() for f in self.faults)

    def exposure(self, *objectives: Objective) -> Exposure:
        """How long the faults must be felt before survival means anything, and the arithmetic.

        Computed from the manifests as deployed (probe delay + threshold x period + timeout +
        grace...), times 1.5, for the objectives given; default: no restarts, and availability.
        Of several faults: what the one needs that takes longest.
        """
        return max(self._exposures(objectives), key=lambda each: each.seconds)

    def _exposures(self, objectives: Sequence[Objective]) -> list[Exposure]:
        """Of each fault what it needs."""
        facts = self.app.stage.history.facts
        default = (restarts("workload"), availability()) if "workload" in facts.roles else ()
        asked = objectives or cast("tuple[Objective, ...]", default)
        return [exposure_needed(self.app.stage.history, asked, i) for i in self.indices]

    async def until_felt(self, within: Duration | None = None) -> None:
        """Wait until an independent measurement felt every fault. Raises FaultError if none did.

        `within` None: as long as the slowest of the faults says that it may take.
        """
        __tracebackhide__ = True
        longest = max(seconds(f.felt_within) for f in self.faults)
        await self._until(
            lambda: self.felt,
            within=longest if within is None else seconds(within),
            what=f"{self.describe()} is felt",
        )

    async def until_exposed(self, *objectives: Objective) -> None:
        """Wait until the faults have been felt for as long as the slowest failure needs.

        Only then does it mean something that the application is still well; see `exposure`.
        """
        __tracebackhide__ = True
        await self.until_felt()
        history, each = self.app.stage.history, self._exposures(objectives)
        needed = self.exposure(*objectives)
        await self._until(
            lambda: all(
                felt(history, i).seconds >= e.seconds
                for i, e in zip(self.indices, each, strict=True)
            ),
            within=needed.seconds + SUSTAIN_MARGIN_S,
            what=f"{self.describe()} has been felt for {needed.seconds:.0f} s: {needed.why}",
        )

    async def _until(self, check: Callable[[], bool], *, within: float, what: str) -> None:
        __tracebackhide__ = True

        def look() -> bool:
            self.check()
            return check()

        try:
            await eventually(look, within=within, every=_POLL_S, what=what, context=self._context)
        except WaitTimeout as error:
            raise FaultError(f"{error.message}\n  {self._last()}", remedy=_REMEDY) from error

    # -- for the block ----------------------------------------------------------------------

    def check(self) -> None:
        """Raises what ended the measuring or the load before anybody asked for it."""
        if self._measuring is not None and self._measuring.done():
            self._measuring.result()
        if self.app.generator is not None:
            self.app.generator.check()

    def start(self) -> None:
        """Measure from now on; each measurement also renews what expires by itself."""
        self._measuring = asyncio.create_task(self._measure())

    async def stop(self) -> None:
        """No measurement any more: healing is next."""
        self._left = time.monotonic_ns()
        if self._measuring is not None and not self._measuring.done():
            self._measuring.cancel()
            await asyncio.wait({self._measuring})

    async def _measure(self) -> None:
        waiting = set(self.indices)
        while True:
            for index in self.indices:
                if await self.app.stage.measure(index):
                    waiting.discard(index)
            if not waiting and self.outermost and self.app.stage.history.phase("sustain") is None:
                self.app.enter("sustain")
            await asyncio.sleep(MEASURE_EVERY_S)

    def must_have_been_felt(self) -> None:
        """Raises FaultError if the block was left too early, or the fault did nothing."""
        if self._measuring is not None and not self._measuring.cancelled():
            self._measuring.result()
        if not self.felt:
            raise FaultError(
                f"{self.describe()} was not felt before its block was left: {self._last()}",
                remedy=_REMEDY,
            )

    def must_have_been_met(self) -> None:
        """Raises Inconclusive if nothing of the application came through what was broken."""
        if missing := not_met(self.app.stage.history, self.indices):
            raise Inconclusive(
                "; ".join(f"{each.blame}: {each.reason}" for each in missing),
                remedy="bind the role to what the application uses, or load it so that it does",
            )

    def _last(self) -> str:
        notes = [m.note for m in self._measurements()]
        return f"last measurement: {notes[-1]}" if notes else "no measurement came to its end"

    def _measurements(self) -> list[Measurement]:
        """Those of these faults until their block was left: what follows speaks of the healing."""
        history = self.app.stage.history
        window = Window(history.injected_at or 0, self._left)
        return [m for m in history.measurements if m.fault in self.indices and window.holds(m.t)]


_REMEDY = (
    "stay in the block until it is: `await fault.until_felt()`, or `await fault.until_exposed()` "
    "before anything is concluded; if the measurement says that nothing changed, the target is not "
    "reached by the fault"
)


@asynccontextmanager
async def injecting(
    app: App,
    faults: Sequence[Fault],
    *,
    control: Duration,
    alone: bool,
    context: FailureContext,
    say: Say,
) -> AsyncIterator[Injected]:
    """Control, inject, measure; heal on every way out. See the fixture `inject`."""
    __tracebackhide__ = True
    _can_be_injected(app, faults, alone=alone)
    stage = app.stage
    injected = Injected(app, faults, context)
    await _control(injected, seconds(control))
    before = stage.about_to_inject()
    try:
        app.injected.append(injected)
        if injected.outermost:
            app.enter("inject")
        for fault in faults:
            await fault.inject(stage.context)
        if injected.outermost:
            app.enter("felt")
        injected.start()
        try:
            yield injected
        except BaseException as error:
            app.notes.append(
                f"{type(error).__name__} was raised while injected: {injected.describe()} "
                f"(felt for {injected.seconds:.1f} s)"
            )
            raise
    finally:
        with deferred(say):
            await _heal(injected, before)
    injected.must_have_been_felt()
    injected.must_have_been_met()


async def _heal(injected: Injected, before: frozenset[str]) -> None:
    app = injected.app
    await injected.stop()
    if injected.outermost:
        app.enter("heal")
    try:
        await app.stage.heal(before=before, faults=injected.indices)
    finally:
        app.injected.remove(injected)
        if injected.outermost:
            # Recovery is watched under load; without any there is nothing to watch it by.
            app.enter("recover" if app.generator is not None else None)


async def _control(injected: Injected, length: float) -> None:
    """The same path without the fault: nothing is felt, and the load has been served."""
    app, stage = injected.app, injected.app.stage
    history = stage.history
    begun = history.phase("control")
    # A second round begins its own control run: what went before belongs to the first fault.
    if injected.outermost and (begun is None or history.healed_at is not None):
        app.enter("control")
        begun = history.phase("control")
    for index, fault in zip(injected.indices, injected.faults, strict=True):
        if await stage.measure(index):
            raise Inconclusive(
                f"subject: {fault.describe()} is felt before it was injected: {injected._last()}",
                remedy="mend what is slow or broken already; a fault could not be told from it",
            )
    if app.generator is None or not injected.outermost or begun is None:
        return
    while time.monotonic_ns() < begun.begin + length * 1e9:
        app.generator.check()
        await asyncio.sleep(_POLL_S)
    history.poll()
    served = history.requests.between(begun.begin, None)
    # Requests of the last moment are still on their way: they may turn out well.
    share = served.availability_at_most()
    if not served.reached() or share < SERVED:
        raise Inconclusive(
            f"subject: before any fault at most {share:.1%} of {served.scheduled} requests "
            f"succeeded: {served.failures() or 'none was answered'}",
            remedy="an application that does not serve without the fault proves nothing with it: "
            "mend it, or ask for less load",
        )


def _can_be_injected(app: App, faults: Sequence[Fault], *, alone: bool) -> None:
    app.supported(faults)
    busy = {f.target: f for injected in app.injected for f in injected.faults}
    for fault in faults:
        if fault.target in busy:
            raise UsageError(
                f"{fault.describe()}: {busy[fault.target].describe()} is in at the same target, "
                "and neither could be told from the other",
                remedy="let one block follow the other, or aim them at different roles",
            )
        if fault.scope != "namespace" and not alone:
            raise UsageError(
                f"{fault.describe()} reaches beyond the application's namespaces ({fault.scope})",
                remedy="have the cluster to yourself: mark the test "
                "@pytest.mark.harness(exclusive=True)",
            )
        if fault in app.stage.placement.faults:
            continue
        if fault.prepare(app.stage.objects, app.stage.context) != app.stage.objects:
            raise UsageError(
                f"{fault.describe()} needs something in the path before the pods start",
                remedy=f"name it when deploying: deploy(..., faults=[{type(fault).__name__}(...)]) "
                f"or deploy(..., in_path=[{str(fault.target)!r}])",
            )


def target_app(faults: Sequence[Fault], apps: Sequence[App]) -> App:
    """The application that the faults are aimed at: by their targets, or the only one there is."""
    if not faults:
        raise UsageError("inject() was given no fault", remedy="give at least one")
    for fault in faults:
        if not isinstance(fault, Fault):
            raise UsageError(
                f"{fault!r} cannot be injected", remedy="give a fault of harness.faults"
            )
    named = {id(f.target.app): f.target.app for f in faults if isinstance(f.target, Target)}
    if len(named) > 1:
        raise UsageError(
            "one inject() cannot break two applications", remedy="nest one inside the other"
        )
    if named:
        return next(iter(named.values()))
    if len(apps) != 1:
        raise UsageError(
            f"{faults[0].describe()}: which of the {len(apps)} deployed applications?",
            remedy='name it by its target: SlowDependency(app.role("database"), ...)',
        )
    return apps[0]
