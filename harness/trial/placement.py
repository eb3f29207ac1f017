"""What a trial is given: a subject ready to be deployed, connections to a cluster, a listener."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.cluster.clusters import Cluster
from harness.declare import Load
from harness.faults.base import Fault
from harness.history.facts import Json
from harness.kube.client import Kube
from harness.manifest.isolation import Isolation
from harness.manifest.objects import Object, Ref
from harness.manifest.subject_file import Role, SubjectFile
from harness.nodes.nodes import NodeCommands
from harness.undo.ledger import Ledger
from harness.undo.reach import World


class Listener(Protocol):
    """Who is told how a trial proceeds; the console is one."""

    def phase(self, trial: str, name: str) -> None: ...

    def progress(self, trial: str, done: float, total: float, text: str) -> None: ...

    def status(self, trial: str, text: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Connections:
    """What trials stand on: one cluster and the connections to it, and this process's ledger."""

    cluster: Cluster
    kube: Kube
    nodes: NodeCommands
    ledger: Ledger
    world: World


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A subject ready to be deployed: everything decided, nothing done.

    `isolation` has the variant's objects, rendered, scaled, with images by digest, in the trial's
    own namespaces, `released` those that its release changes or adds, as the release has them.
    `images` are those that faults need, by name. `exclusive`: the cluster is leased to this trial
    alone. `in_path` names the roles before which a proxy stands although no fault asks for it yet.
    `declared` is what the history's first record says beside all that.
    """

    trial: str
    subject: SubjectFile
    isolation: Isolation
    released: Sequence[Object]
    faults: Sequence[Fault]
    load: Load
    exclusive: bool
    scale: int
    seed: int
    folder: Path
    images: Mapping[str, str]
    declared: Json = field(default_factory=dict)
    in_path: Sequence[str] = ()

    def placed_roles(self) -> dict[str, Role]:
        """The subject's roles, each with its object in the trial's namespace."""
        return {name: self._placed(role) for name, role in self.subject.roles.items()}

    def _placed(self, role: Role) -> Role:
        given = self.isolation.namespaces
        namespace = role.ref.namespace or self.subject.subject.namespace
        ref = Ref(role.ref.kind, role.ref.name, given.get(namespace, namespace), role.ref.port)
        return role.model_copy(update={"ref": ref})


class CannotConclude(Exception):  # noqa: N818 - it is a verdict, not an error
    """The trial cannot go on to a verdict; `blame` is harness, host or subject."""

    def __init__(self, blame: str, message: str) -> None:
        super().__init__(message)
        self.blame = blame
