"""A namespace of a test's own, for tests that bring their objects themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.authoring.failure_report import tell
from harness.authoring.scope_holder import ScopeHolder
from harness.errors import UsageError
from harness.history.history import History
from harness.history.writer import Writer
from harness.host.files import private_folder
from harness.kube.client import Kube
from harness.kube.eventually import eventually
from harness.manifest.isolation import CLUSTER_SCOPED
from harness.manifest.objects import Object
from harness.manifest.yaml import load_all
from harness.trial.observer import Observer
from harness.trial.placement import Connections
from harness.undo import namespaces
from harness.undo.ledger import Entry

_ACCOUNT_S = 60.0


class Namespace(str):
    """A fresh namespace: a string, its name, that can also apply, get and list objects.

    `kube` is a client of the cluster. All changes of pods, workloads and events in it are watched;
    `history` has them, and a failing test shows them.
    """

    kube: Kube
    history: History

    def __new__(
        cls, name: str, connections: Connections, folder: Path, where: Sequence[Path]
    ) -> Namespace:
        """Not made yet: `open` does that."""
        made = super().__new__(cls, name)
        made._connections, made._folder, made._where = connections, folder, where
        made.kube, made.history, made._held = connections.kube, History(), ScopeHolder()
        return made

    _connections: Connections
    _folder: Path
    _where: Sequence[Path]
    _held: ScopeHolder
    _entry: Entry | None = None
    _writer: Writer | None = None

    async def apply(self, *what: Object | str | Path) -> list[Object]:
        """Server-side apply of objects, or of files of manifests (relative to the test's folder).

        Returns them as the API server has them now. Raises ManifestError with the field that is
        wrong, UsageError for what no namespace can contain.
        """
        objects: list[Object] = []
        for each in what:
            objects += [each] if isinstance(each, Mapping) else load_all(*self._read(each))
        for obj in objects:
            if obj.get("kind") in CLUSTER_SCOPED:
                raise UsageError(
                    f"{obj['kind']}/{obj['metadata']['name']} lives outside of any namespace",
                    remedy="use `deploy`: it gives cluster-scoped objects names of their own, and "
                    "removes them",
                )
        return await self.kube.apply_all(objects, str(self))

    async def get(self, kind: str, name: str, api_version: str | None = None) -> Object:
        """One object, now. Raises ApiError if it is not there."""
        return await self.kube.get(api_version or _api_version(kind), kind, name, str(self))

    async def all(
        self, kind: str, api_version: str | None = None, *, labels: str | None = None
    ) -> list[Object]:
        """All objects of a kind, now; `labels` is a selector such as "app=web"."""
        version = api_version or _api_version(kind)
        return await self.kube.list(version, kind, str(self), labels=labels)

    def warnings(self) -> list[Object]:
        """Warning events so far, oldest first. Senders are rate-limited: none proves nothing."""
        return [
            record["object"]
            for record in self.history.objects("Event")
            if record["object"].get("type") == "Warning"
        ]

    # -- for the fixture --------------------------------------------------------------------

    async def open(self) -> None:
        """Make it, recorded first, watch it, and wait until pods are admitted."""
        private_folder(self._folder)
        self._writer = Writer(self._folder, mirror=self.history)
        trial = self.rpartition("-")[2]
        self._entry = await namespaces.create(
            self.kube,
            self._connections.ledger,
            cluster=self._connections.cluster,
            name=str(self),
            trial=trial,
        )
        observer = Observer(self.kube, self.history, self._writer)
        await self._held.enter(observer.watching([str(self)]))
        # Pods are refused until the namespace has its ServiceAccount.
        await eventually(
            lambda: self.kube.find("v1", "ServiceAccount", "default", str(self)),
            within=_ACCOUNT_S,
            what=f"the default ServiceAccount of namespace {self}",
            context=observer,
        )

    async def close(self) -> None:
        """Delete it and wait until it is gone. Raises ResidueError naming what blocks."""
        try:
            await self._held.close()
        finally:
            try:
                if self._entry is not None:
                    await self._entry.undo(self._connections.world)
            finally:
                if self._writer is not None:
                    self._writer.close()

    def story(self) -> list[str]:
        """What a failing test shows of it."""
        return tell(f"namespace {self}", self.history, (), self._folder)

    def _read(self, path: str | Path) -> tuple[str, str]:
        tried = [base / path for base in self._where]
        for file in tried:
            if file.is_file():
                return file.read_text(encoding="utf-8"), str(file)
        raise UsageError(
            f"there is no file {str(path)!r} (looked for {', '.join(map(str, tried))})",
            remedy="name a file of manifests relative to the test's own folder",
        )


_GROUPS = {
    "apps/v1": ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "batch/v1": ("CronJob", "Job"),
    "discovery.k8s.io/v1": ("EndpointSlice",),
    "networking.k8s.io/v1": ("Ingress", "NetworkPolicy"),
    "policy/v1": ("PodDisruptionBudget",),
    "rbac.authorization.k8s.io/v1": ("Role", "RoleBinding"),
}
_API_VERSIONS = {kind: version for version, kinds in _GROUPS.items() for kind in kinds}


def _api_version(kind: str) -> str:
    """The version of the kinds that tests ask for most; the core group for all others."""
    return _API_VERSIONS.get(kind, "v1")
