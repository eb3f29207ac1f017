"""Load on an application for the length of a block, and what its requests experienced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, get_args

from harness.authoring.app import App
from harness.declare import During, Load
from harness.errors import Inconclusive, UsageError
from harness.history.records import Window
from harness.history.requests import Requests
from harness.load.generator import Generator
from harness.objectives.traffic import Recovery, window_of
from harness.trial.trial import RECOVER_MARGIN_S

Stretch = Literal["control", "fault", "recovered", "all"]

_POLL_S = 0.2


class NotRecovered(AssertionError):  # noqa: N818 - a failed expectation, like an assertion
    """The application did not come back while it was watched."""


class Traffic:
    """The load on one application.

    `during` names a stretch: `control` (from the begin of the load to the injection), `fault` (from
    injection to heal), `recovered` (5 s from the first moment after the heal at which the workload
    is fully ready and requests succeed) or `all` (injection to the end of recovery). None, the
    default, is everything that the load sent.
    """

    def __init__(self, app: App, generator: Generator, load: Load) -> None:
        self.app = app
        self.load = load
        self._generator = generator

    def requests(self, during: Stretch | None = None) -> Requests:
        """The requests of a stretch, in columns; those on their way count when they have an
        outcome. Raises UsageError if there was no such stretch, and NotRecovered, an
        AssertionError, if the application never recovered."""
        history = self.app.history
        if during is None:
            return self._generator.requests().with_outcome()
        window = self._window(during)
        return history.requests.between(window.begin, window.end).with_outcome()

    def availability(self, during: Stretch | None = None) -> float:
        """Successful requests / all that have an outcome, 0 to 1. One that was never answered has
        failed when its timeout is over, or the load."""
        return self.requests(during).availability()

    def percentile(self, percent: float, during: Stretch | None = None) -> float:
        """Seconds from intended start to end that `percent` of the requests stayed within.

        inf if fewer than that succeeded.
        """
        return self.requests(during).percentile(percent)

    def outcomes(self, during: Stretch | None = None) -> dict[str, int]:
        """Requests by outcome ("200", "connection refused"...), most frequent first."""
        return self.requests(during).outcomes()

    def _window(self, during: Stretch) -> Window:
        if during not in get_args(Stretch):
            raise UsageError(
                f"there is no stretch {during!r}",
                remedy=f"choose one of {', '.join(get_args(Stretch))}, or leave it out",
            )
        history = self.app.history
        if during == "control":
            window = history.phase("control")
        else:
            part: During = during
            window = window_of(history, part, "workload")
        if window is not None:
            return window
        if during == "recovered" and history.healed_at is not None:
            raise NotRecovered(
                f"{self.app.name} did not recover while it was watched: "
                f"ready {self.app.ready()} of {self.app.replicas()}, "
                f"{self.availability():.1%} of all requests succeeded"
            )
        raise UsageError(
            f"there was no {during!r}: nothing was injected under this load",
            remedy="use `inject` inside the block of `load`, or leave `during` out",
        )


@asynccontextmanager
async def loaded(
    app: App,
    *,
    rate: float | None = None,
    endpoints: Mapping[str, float] | None = None,
    arrivals: Literal["constant", "poisson"] = "constant",
    timeout: str | None = None,
    locustfile: str | None = None,
) -> AsyncIterator[Traffic]:
    """Load on the application's entry while the block runs; see the fixture `load`."""
    __tracebackhide__ = True
    if app.loaded:
        raise UsageError(
            f"{app.name} has had a load already",
            remedy="one load for each deployed application: let the block last for the whole test, "
            "or deploy the application again",
        )
    own = app.stage.placement.load
    asked = Load(
        rate=rate,
        endpoints=endpoints,
        arrivals=arrivals,
        timeout=timeout or own.timeout,
        locustfile=locustfile,
    )
    async with AsyncExitStack() as stack:
        generator = await app.stage.load(stack, asked)
        app.generator, app.loaded = generator, True
        app.enter("control")
        try:
            yield Traffic(app, generator, asked)
            await _recovered(app, generator)
        finally:
            app.enter(None)
            app.generator = None
        await generator.stop()
    app.history.poll()
    _kept_up(app)


async def _recovered(app: App, generator: Generator) -> None:
    """After a fault: until the recovered stretch is on record, within what recovery may take."""
    history = app.stage.history
    if history.healed_at is None or "workload" not in history.facts.roles:
        return
    deadline = time.monotonic() + Recovery().bound(history.facts) + RECOVER_MARGIN_S
    while time.monotonic() < deadline:
        generator.check()
        history.poll()
        window = window_of(history, "recovered", "workload")
        if window is not None:
            served = history.requests.between(window.begin, window.end)
            if window.closed and served.settled:
                return
        await asyncio.sleep(_POLL_S)


def _kept_up(app: App) -> None:
    """A generator that fell behind proves nothing, in either direction."""
    history = app.stage.history
    for first, last in (("control", "control"), ("inject", "recover")):
        window = history.span(first, last)
        if window is None:
            continue
        health = history.requests.generator_health(window.begin, window.end)
        if health.fell_behind:
            raise Inconclusive(
                f"host: the load generator fell behind: {health.describe()}",
                remedy="give this machine less to do at the same time, or ask for a lower rate",
            )
