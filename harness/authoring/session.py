"""All that one test holds: its lease, its connections, what it deployed; closed when it ends.

The fixtures are methods of it. Nothing is opened before it is asked for, and everything is closed
in the order in which it must be: applications and namespaces, connections, the lease.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from harness.authoring.app import App
from harness.authoring.author_namespace import Namespace
from harness.authoring.failure_report import warnings
from harness.authoring.injection import CONTROL, Injected, injecting, target_app
from harness.authoring.placing import Request, place
from harness.authoring.scope_holder import ScopeHolder
from harness.authoring.traffic import Traffic, loaded
from harness.cluster import clusters, lifecycle, residue
from harness.cluster.clusters import Cluster
from harness.errors import ResidueError, UsageError
from harness.faults.base import Fault
from harness.host.signals import Say, deferred
from harness.images.supply import Supply
from harness.kube.eventually import eventually as wait
from harness.runs.connections import leased_cluster
from harness.trial.equipment import equip
from harness.trial.placement import Connections
from harness.units import Duration, seconds

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a test is given by its session and its marks.

    `folders` are where relative paths begin, `folder` is where its histories go, `alone`: the
    cluster is leased to this test only, `faithful`: no probe timing is scaled, `say` tells the
    person at the terminal something at once.
    """

    test: str
    cluster: Cluster
    supply: Supply
    folders: Sequence[Path]
    folder: Path
    seed: int
    say: Say
    alone: bool = False
    faithful: bool = False


class AuthoringSession:
    """What one test works with; also the context that failing waits tell."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.apps: list[App] = []
        self.namespaces: list[Namespace] = []
        self._held = ScopeHolder()
        self._connections: Connections | None = None
        self._opening = asyncio.Lock()

    async def connections(self) -> Connections:
        """Lease first, then connections and a ledger; opened once."""
        async with self._opening:
            if self._connections is None:
                settings = self.settings
                self._connections = await self._held.enter(
                    leased_cluster(self._cluster, exclusive=settings.alone, purpose=settings.test)
                )
            return self._connections

    async def _cluster(self) -> Cluster:
        """The session's cluster; made anew if a test before this one left something on it."""
        cluster = self.settings.cluster
        if residue.left_on(cluster.folder) or not clusters.is_current(cluster):
            return await lifecycle.bring_up(cluster.name, cluster.shape)
        return cluster

    async def deploy(
        self,
        path: str | Path,
        *,
        variant: str | None = None,
        scale: int = 1,
        in_path: Sequence[str] | None = None,
        faults: Sequence[Fault] = (),
    ) -> App:
        """See the fixture `deploy`."""
        __tracebackhide__ = True
        settings = self.settings
        request = Request(
            path=path,
            folders=settings.folders,
            variant=variant,
            scale=1 if settings.faithful else scale,
            in_path=in_path,
            faults=faults,
            seed=settings.seed,
            folder=settings.folder,
            test=settings.test,
        )
        placement = await place(request, settings.supply)
        if placement.exclusive and not settings.alone:
            because = "; ".join(placement.isolation.why) or "a fault reaches beyond its namespaces"
            raise UsageError(
                f"{placement.subject.subject.name} must not share its cluster: {because}",
                remedy="mark the test @pytest.mark.harness(exclusive=True)",
            )
        connections = await self.connections()
        await equip(connections, faults)
        app = App(placement, connections)
        # Known before anything is changed, so that whatever it made is removed.
        self.apps.append(app)
        await app.up()
        return app

    def load(
        self,
        app: App,
        *,
        rate: float | None = None,
        endpoints: dict[str, float] | None = None,
        arrivals: Literal["constant", "poisson"] = "constant",
        timeout: str | None = None,
        locustfile: str | Path | None = None,
    ) -> AbstractAsyncContextManager[Traffic]:
        """See the fixture `load`."""
        script = None if locustfile is None else str(self._file(locustfile))
        return loaded(
            app,
            rate=rate,
            endpoints=endpoints,
            arrivals=arrivals,
            timeout=timeout,
            locustfile=script,
        )

    def inject(
        self, *faults: Fault, control: Duration = CONTROL
    ) -> AbstractAsyncContextManager[Injected]:
        """See the fixture `inject`."""
        app = target_app(faults, self.apps)
        settings = self.settings
        return injecting(
            app, faults, control=control, alone=settings.alone, context=self, say=settings.say
        )

    @overload
    async def eventually(
        self,
        check: Callable[[], Awaitable[T]],
        *,
        within: Duration = ...,
        what: str = ...,
        every: Duration = ...,
    ) -> T: ...
    @overload
    async def eventually(
        self,
        check: Callable[[], T],
        *,
        within: Duration = ...,
        what: str = ...,
        every: Duration = ...,
    ) -> T: ...
    async def eventually(
        self,
        check: Callable[[], Any],
        *,
        within: Duration = "30s",
        what: str = "",
        every: Duration = "200ms",
    ) -> Any:
        """See the fixture `eventually`."""
        __tracebackhide__ = True
        named = getattr(check, "__name__", "the check").strip("<>").replace("_", " ")
        return await wait(
            check,
            within=seconds(within),
            every=seconds(every),
            what=what or named,
            context=self,
        )

    async def namespace(self) -> Namespace:
        """See the fixture `namespace`."""
        name = f"test-{secrets.token_hex(3)}"
        made = Namespace(
            name, await self.connections(), self.settings.folder / name, self.settings.folders
        )
        self.namespaces.append(made)
        await made.open()
        return made

    async def close(self) -> None:
        """Remove everything, newest first; one that fails keeps no other from being removed, and
        no signal stops it half way."""
        with deferred(self.settings.say):
            await self._close()

    async def _close(self) -> None:
        errors: list[Exception] = []
        try:
            for thing in reversed(self._things):
                try:
                    await thing.close()
                except Exception as error:  # noqa: BLE001 - raised when all the others are closed
                    errors.append(error)
            self.apps, self.namespaces = [], []
            self._note([each.message for each in errors if isinstance(each, ResidueError)])
        finally:
            await self._held.close()
        if errors:
            raise errors[0] if len(errors) == 1 else ExceptionGroup("not clean", errors)

    def _note(self, left: Sequence[str]) -> None:
        """What could not be removed would be the next test's baseline."""
        if left:
            residue.note(self.settings.cluster.folder, left)

    # -- told when something fails ----------------------------------------------------------

    def active_faults(self) -> list[str]:
        """For failing waits: what is broken right now."""
        return [
            f"{injected.describe()} on {app.name}, felt for {injected.seconds:.1f} s"
            for app in self.apps
            for injected in app.injected
        ]

    def recent_warnings(self) -> list[str]:
        """For failing waits: the latest Warning events of everything that the test made."""
        histories = [app.stage.history for app in self.apps]
        histories += [each.history for each in self.namespaces]
        return [line for history in histories for line in warnings(history)]

    def story(self) -> str:
        """What a failing test shows; empty if it made nothing."""
        return "\n".join(line for thing in self._things for line in thing.story())

    @property
    def _things(self) -> list[App | Namespace]:
        return [*self.namespaces, *self.apps]

    def _file(self, path: str | Path) -> Path:
        tried = [base / path for base in self.settings.folders]
        for file in tried:
            if file.is_file():
                return file
        raise UsageError(
            f"there is no file {str(path)!r} (looked for {', '.join(map(str, tried))})",
            remedy="name it relative to the test's own folder",
        )


def folder_name(test: str) -> str:
    """A test's name as a folder's: what is no letter, digit or dot becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", test).strip("-")[-100:]
