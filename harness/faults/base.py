"""What faults share: the cycle that a trial drives, and what it is given to work with.

`needs` and `prepare` look and transform, `inject` and `measure` act on a cluster; healing is not a
method. `inject` writes a ledger record first, and the function registered with `@undo` for that
record's kind heals from the record alone, in the same process or, after a SIGKILL, in another one.
What `prepare` adds to the subject's objects lives in the trial's namespaces and goes with them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from harness.cluster.clusters import Cluster
from harness.declare import Declared, Scope
from harness.errors import FaultError
from harness.history.facts import FaultFacts, Json
from harness.images.host_facts import HostFacts
from harness.kube.client import Kube
from harness.manifest.objects import Object, Ref
from harness.manifest.subject_file import Role
from harness.nodes.nodes import NodeCommands
from harness.undo.ledger import Entry, Ledger


@dataclass(frozen=True)
class Support:
    """What preflight answers: `supported`, `degraded` or `unsupported`, and why."""

    state: Literal["supported", "degraded", "unsupported"]
    why: str = ""


SUPPORTED = Support("supported")


@dataclass(frozen=True)
class Met:
    """The subject met what is broken: who of it (`by`: a pod), seen how, and how often.

    A `count` of 0 says who was looked at in vain.
    """

    by: str
    how: str
    count: int = 1


@dataclass(frozen=True)
class Achieved:
    """One measurement of a fault: was it felt, what was asked, what was achieved, in words.

    `met` is who of the subject met the fault, or uses what is to be broken. A fault that is felt by
    nobody but us proves nothing of the subject, so every fault has to say.

    `cured`: not felt any more because the subject itself put an end to what the fault did, as a
    restart ends a deadlock. The fault's exposure then goes on: what can follow, follows now.
    """

    felt: bool
    asked: Json
    achieved: Json
    note: str
    met: tuple[Met, ...] = ()
    cured: bool = False


@dataclass(frozen=True, kw_only=True)
class FaultContext:
    """What a fault is given. `roles` are bound to objects in the trial's own namespaces.

    `images` maps the harness's own images (`agent`), and those that the faults asked for, to
    references that the nodes can pull. `scale` divides what a fault measures against the probes.
    `standing` are the subject's objects as deployed, `released` those that the release changes or
    adds. `tell("answer", field=...)` writes a record of that type into the history.
    """

    trial: str
    cluster: Cluster
    kube: Kube
    nodes: NodeCommands
    ledger: Ledger
    roles: Mapping[str, Role]
    namespace: str
    images: Mapping[str, str]
    tell: Callable[..., object]
    scale: int = 1
    standing: Sequence[Object] = ()
    released: Sequence[Object] = ()

    @property
    def own_namespace(self) -> str:
        """Where the harness's own pods of this trial stand."""
        return f"harness-{self.trial}"

    def role(self, name: str) -> Role:
        """The binding of a role; FaultError if the subject does not bind it."""
        if name not in self.roles:
            raise FaultError(
                f"role {name!r} is not bound by this subject",
                remedy=f"bind {name!r} under [roles] in the subject's harness.toml",
            )
        return self.roles[name]

    def namespace_of(self, ref: Ref) -> str:
        """The trial's namespace in which a role's object lives."""
        return ref.namespace or self.namespace

    def record(self, kind: str, data: Json) -> Entry:
        """Write an undo record to disk; the change may be made only after this returned."""
        return self.ledger.record(kind, data, cluster=self.cluster, trial=self.trial)


@dataclass(frozen=True)
class Fault(Declared, ABC):
    """One thing that can be prepared, injected, measured, healed and removed."""

    scope: ClassVar[Scope] = "namespace"
    addons: ClassVar[tuple[str, ...]] = ()
    """Add-ons that the cluster must carry; they are installed before the baseline is taken."""
    needs_release: ClassVar[bool] = False
    """True if the fault applies the scenario's release."""
    felt_within: ClassVar[str] = "60s"
    """A fault that no measurement felt by then, after its injection, will not be felt."""
    healed_within: ClassVar[str] = "30s"
    """By then, after its undoing, no measurement may feel it any more."""
    spares_target: ClassVar[bool] = False
    """The target's own pods feel nothing of it: it stands on the way to them, or only asks them."""
    target: str
    after: str | None = field(default=None, kw_only=True)
    """When it is injected: with the others (None), this long after them ("20s"), or once those that
    are declared before it are "felt"."""

    @property
    @abstractmethod
    def onset(self) -> str:
        """What happened, for sentences such as "41 s after <the database slowed>"."""

    @abstractmethod
    def describe(self) -> str:
        """One line for tables: what is asked of which target."""

    def facts(self) -> FaultFacts:
        """What is written down of the fault, so that it can be judged without its class."""
        return FaultFacts(
            name=self.name,
            target=str(self.target),
            describe=self.describe(),
            onset=self.onset,
            scope=self.scope,
            met=True,
            spares_target=self.spares_target,
        )

    @property
    def cured_by_restarts(self) -> int:
        """Restarts of the target that end what the fault did, where nothing else can; else 0."""
        return 0

    @classmethod
    def host_support(cls, host: HostFacts) -> Support:
        """What this host offers for the fault; asked by `harness doctor` and by preflight."""
        return SUPPORTED

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """Whether the fault can act on this target, judged from the manifests alone."""
        return SUPPORTED

    def images(self, role: Role) -> Sequence[str]:
        """Images beside those of the manifests that the fault will run, by the subject's names."""
        return ()

    def prepare(self, objects: Sequence[Object], ctx: FaultContext) -> list[Object]:
        """The subject's objects with whatever must be in the path before the pods start."""
        return list(objects)

    @abstractmethod
    async def inject(self, ctx: FaultContext) -> None:
        """Break it: ledger record first, then the change."""

    @abstractmethod
    async def measure(self, ctx: FaultContext) -> Achieved:
        """Measure independently of the mechanism whether the fault is felt, now.

        Called in the control phase as well, where it must not be felt.
        """
