"""An application that a test deployed: its roles, how they fare, and its way in and out again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from harness.authoring.failure_report import tell
from harness.authoring.scope_holder import ScopeHolder
from harness.errors import Inconclusive, ResidueError, UsageError
from harness.faults.base import Fault
from harness.history.history import History
from harness.kube.client import Kube
from harness.manifest.objects import Ref, did_you_mean
from harness.runs.options import Quiet
from harness.trial.placement import CannotConclude, Connections, Placement
from harness.trial.stage import Stage

if TYPE_CHECKING:
    from harness.load.generator import Generator


class Target(str):
    """The name of a role that knows whose it is: what faults are aimed at."""

    app: App

    def __new__(cls, name: str, app: App) -> Target:
        """A role of `app`, which must bind it."""
        made = super().__new__(cls, name)
        made.app = app
        return made

    # Declarations are copied and stored: then it is the name that counts, never the application.
    def __copy__(self) -> Target:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Target:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class InForce(Protocol):
    """What is injected at the moment, as far as an application and failure reports ask."""

    @property
    def faults(self) -> Sequence[Fault]: ...

    @property
    def seconds(self) -> float: ...

    def describe(self) -> str: ...


class App:
    """A deployed application. Everything asked of it is answered from what is watched.

    `namespace` is the one of its own that the subject's default namespace became, `kube` a client
    of its cluster, `history` all that was observed, `folder` where that is on disk.
    """

    def __init__(self, placement: Placement, connections: Connections) -> None:
        self.stage = Stage(placement, connections, Quiet())
        self.injected: list[InForce] = []
        self.generator: Generator | None = None
        self.loaded = False
        self.notes: list[str] = []
        self._held = ScopeHolder()
        self._phase = ExitStack()

    # -- for authors ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The subject's name."""
        return self.stage.placement.subject.subject.name

    @property
    def namespace(self) -> str:
        """The namespace that the application has for itself."""
        return self.stage.context.namespace

    @property
    def kube(self) -> Kube:
        """A client of the cluster, for whatever a test wants to do by hand."""
        return self.stage.connections.kube

    @property
    def history(self) -> History:
        """Everything observed since the deployment; requests up to a quarter of a second ago."""
        self.stage.history.poll()
        return self.stage.history

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of the roles that its `harness.toml` binds."""
        return tuple(self.stage.roles)

    def role(self, name: str) -> Target:
        """A role to aim a fault at: `SlowDependency(app.role("database"), latency="3s")`."""
        self._bound(name)
        return Target(name, self)

    def ref(self, role: str) -> Ref:
        """The object behind a role, in the application's own namespace."""
        self._bound(role)
        return self.stage.context.role(role).ref

    def restarts(self, role: str = "workload") -> int:
        """Restarts of the role's containers since the deployment."""
        self._bound(role)
        return len(self.stage.history.restarts(role))

    def ready(self, role: str = "workload") -> int:
        """Ready pods of the role, now."""
        self._bound(role)
        return self.stage.history.ready_at(role, time.monotonic_ns())

    def replicas(self, role: str = "workload") -> int:
        """Pods that the role should have by its manifests."""
        self._bound(role)
        return self.stage.history.facts.role(role).replicas

    def pods(self, role: str = "workload") -> list[str]:
        """Names of the role's pods that are there now."""
        self._bound(role)
        now = time.monotonic_ns()
        states = [(pod.name, pod.at(now)) for pod in self.stage.history.pods_of(role)]
        return [name for name, state in states if state is not None and not state.gone]

    # -- for the fixtures -------------------------------------------------------------------

    def _bound(self, name: str) -> None:
        if name not in self.stage.roles:
            file = self.stage.placement.subject.directory / "harness.toml"
            raise UsageError(
                f"{file} binds no role {name!r} {did_you_mean(name, self.roles)}".rstrip(),
                remedy=f"use one of {', '.join(self.roles)}, or bind {name!r} under [roles]",
            )

    def enter(self, phase: str | None) -> None:
        """A phase ends where the next one begins."""
        self._phase.close()
        if phase is not None:
            self._phase.enter_context(self.stage.phase(phase))

    async def up(self) -> None:
        """Deploy and wait until every workload is ready. Raises Inconclusive: subject."""
        stage = self.stage
        self.enter("preflight")
        stage.introduce()
        self.supported(stage.faults)
        self.enter("prepare")
        await stage.prepare()
        await self._held.enter(stage.observer.watching(stage.namespaces))
        self.enter("deploy")
        try:
            await stage.deploy()
        except CannotConclude as reason:
            stage.problem(reason.blame, str(reason))
            raise Inconclusive(
                f"{reason.blame}: {reason}",
                remedy=f"see what its pods say: {stage.placement.folder / 'history.jsonl'}",
            ) from reason
        finally:
            self.enter(None)

    def supported(self, faults: Sequence[Fault]) -> None:
        """Raises UsageError for a fault that cannot act on its target, with the reason."""
        for fault in faults:
            self._bound(fault.target)
            # Asked of the manifests as they were: a proxy may stand there by now.
            given = self.stage.placement.isolation.objects
            support = fault.target_support(self.stage.context.role(fault.target), given)
            if support.state == "unsupported":
                raise UsageError(
                    f"{fault.describe()}: {support.why}",
                    remedy="aim the fault at another role, or choose another fault",
                )

    async def close(self) -> None:
        """Remove it for real and prove that nothing is left. Raises ResidueError."""
        stage = self.stage
        try:
            self.enter(None)
            try:
                if stage.history.phase("control") is not None:
                    await stage.read_audit()
                with stage.phase("remove"):
                    left = await stage.remove()
            finally:
                await self._held.close()
            with stage.phase("prove clean"):
                residue = (*left, *await stage.residue())
        finally:
            stage.writer.close()
        if residue:
            raise ResidueError(
                f"{self.name} left something behind: " + "; ".join(residue),
                remedy="run `harness heal`; if it is still there, `harness up --rebuild`",
            )

    def story(self) -> list[str]:
        """What a failing test shows of it."""
        return tell(
            f"{self.name} in namespace {self.namespace}",
            self.history,
            self.notes,
            self.stage.placement.folder,
        )
