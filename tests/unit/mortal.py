"""A process that can die at any numbered step, and the cluster that it leaves behind.

From its death on a process changes nothing any more, neither on the cluster nor in its ledger, just
as after SIGKILL; what it had sent before arrives. The cluster is made of plain objects and of facts
about nodes; every change of it is two steps, sent and answered.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from harness.faults import hang, in_node, memory_pressure
from harness.host.files import write_all
from harness.host.locks import FileLock
from harness.host.processes import Completed
from harness.kube.client import ApiError, Kube
from harness.kube.responses import Answer
from harness.undo import healing, ledger
from harness.undo.record import Record

Obj = dict[str, Any]
Key = tuple[str, str, str]
"""Kind, namespace (empty if cluster-scoped), name."""
Fact = tuple[str, str, str]
"""What is the case, in which node, of which pod or unit."""

ON_DISK = "the record is on the disk"
CREATED = "2026-01-01T00:00:00+00:00"


class Death(BaseException):
    """SIGKILL: nobody catches it."""


class Process:
    """Counts the steps that it comes through; dies at one of them, if told to."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.steps: list[str] = []
        self._dies_at = dies_at
        self.dead = False

    @property
    def dies_next(self) -> bool:
        return not self.dead and len(self.steps) + 1 == self._dies_at

    def alive(self) -> None:
        """Whatever a dead process would still do does not happen."""
        if self.dead:
            raise Death

    def step(self, name: str) -> None:
        """One numbered point."""
        self.alive()
        self.dead = self.dies_next
        self.steps.append(name)
        self.alive()


class World:
    """The cluster, and what acts on it: an API server, nodes, a container engine; all of them in
    the hands of one process at a time."""

    def __init__(self, objects: Sequence[Obj]) -> None:
        self.objects: dict[Key, Obj] = {}
        self.facts: set[Fact] = set()
        self.process = Process()
        for obj in objects:
            self._put(copy.deepcopy(obj))

    def state(self) -> tuple[dict[Key, Obj], set[Fact]]:
        """All that is to be as before."""
        return {key: _told(obj) for key, obj in self.objects.items()}, set(self.facts)

    @contextmanager
    def change(self, name: str) -> Iterator[None]:
        """A request that changes something: one may die before it, and before its answer."""
        self.process.step(f"before {name}")
        yield
        self.process.step(f"after {name}")

    # -- the API server -------------------------------------------------------------------------

    async def find(
        self, _api: str, kind: str, name: str, namespace: str | None = None
    ) -> Obj | None:
        self.process.alive()
        found = self.objects.get((kind, namespace or "", name))
        return copy.deepcopy(self._seen(found)) if found is not None else None

    async def get(self, api: str, kind: str, name: str, namespace: str | None = None) -> Obj:
        found = await self.find(api, kind, name, namespace)
        if found is None:
            raise _error(404, "NotFound", f"{kind}/{name}")
        return found

    async def list(
        self, _api: str, kind: str, namespace: str | None = None, *, labels: str = ""
    ) -> list[Obj]:
        self.process.alive()
        asked = dict(pair.split("=", 1) for pair in labels.split(",") if pair)
        return [
            copy.deepcopy(self._seen(obj))
            for (of, where, _), obj in self.objects.items()
            if of == kind
            and namespace in (None, where)
            and asked.items() <= (obj["metadata"].get("labels") or {}).items()
        ]

    async def create(self, obj: Obj) -> Obj:
        if _key(obj) in self.objects:
            raise _error(409, "AlreadyExists", str(_key(obj)))
        return await self.apply(obj)

    async def apply(self, obj: Obj) -> Obj:
        with self.change(f"apply {obj['kind']}"):
            made = copy.deepcopy(dict(obj))
            made["metadata"] |= {"uid": f"uid-{len(self.objects)}", "creationTimestamp": CREATED}
            self._put(made)
        return made

    async def patch(
        self, _api: str, kind: str, name: str, namespace: str | None, body: Obj, how: str = "merge"
    ) -> Obj:
        with self.change(f"patch {kind}"):
            key = (kind, namespace or "", name)
            if key not in self.objects:
                raise _error(404, "NotFound", name)
            self.objects[key] = _merged(self.objects[key], body, by_name=how == "strategic")
        return self.objects[key]

    async def delete(
        self, _api: str, kind: str, name: str, namespace: str | None = None, *, uid: str = ""
    ) -> bool:
        with self.change(f"delete {kind}"):
            found = self.objects.pop((kind, namespace or "", name), None)
            if kind == "Namespace":
                for key in [key for key in self.objects if key[1] == name]:
                    del self.objects[key]
        return found is not None

    async def delete_all(self, _api: str, kind: str, namespace: str, **_: Any) -> None:
        with self.change(f"delete every {kind}"):
            for key in [key for key in self.objects if key[:2] == (kind, namespace)]:
                del self.objects[key]

    async def pod_proxy(
        self, _namespace: str, pod: str, _port: int, method: str, path: str, body: Obj | None = None
    ) -> Answer:
        """The two programs of ours: toxics of a proxy, sessions of the agent."""
        with self.change(f"{method} {path}"):
            thing = ("toxics" if path == "/toxics" else "sessions", "", pod)
            if method == "PUT":
                self.facts.add(thing)
            elif method == "DELETE":
                self.facts.discard(thing)
            toxics = ["latency"] if thing in self.facts else []
        said = {"p": {"toxics": toxics}} if thing[0] == "toxics" else {"held": 1, "refused": []}
        return Answer(status=200, body=orjson.dumps(said))

    # -- nodes and the engine -------------------------------------------------------------------

    async def run(self, node: str, words: Sequence[str], **_: Any) -> Completed:
        """The scripts of the faults, by what they do."""
        if list(words) == ["systemctl", "stop", "kubelet"]:
            with self.change("systemctl stop kubelet"):
                self.facts.add(("kubelet stopped", node, "kubelet"))
            return Completed(argv=(), code=0, stdout=b"", stderr=b"")
        script, given = words[2], words[4:]
        with self.change(f"script in {node}"):
            if script == in_node._START:
                self.facts.add(("unit", node, given[1]))
            elif script == in_node._STOP:
                heal = given[2]
                gone = {f for f in self.facts if f[0] != "unit" and f[1] == node and f[2] in heal}
                self.facts -= gone | {("unit", node, given[1])}
            elif script == hang._STOP:
                self.facts.add(("stopped", node, given[0]))
            elif script == memory_pressure._CHARGE:
                self.facts.add(("charged", node, given[0]))
            else:
                raise AssertionError(f"nobody taught this node {script}")
        return Completed(argv=(), code=0, stdout=b"", stderr=b"")

    async def adocker(self, verb: str, *words: str, **_: Any) -> str:
        """Pausing a node, and asking whether it is."""
        paused = ("paused", words[-1], "")
        if verb == "inspect":
            self.process.alive()
            return "true" if paused in self.facts else "false"
        with self.change(f"docker {verb}"):
            if verb == "pause":
                self.facts.add(paused)
            else:
                self.facts.remove(paused)
        return ""

    # -- what undoing reaches for ---------------------------------------------------------------

    async def kube(self, _: Record) -> Kube:
        return cast(Kube, self)

    async def nodes(self, _: Record) -> World:
        return self

    async def cluster(self, _: Record) -> World:
        return self

    async def why_gone(self, _: object) -> str:
        return ""

    @property
    def engine(self) -> World:
        return self

    def _put(self, obj: Obj) -> None:
        self.objects[_key(obj)] = obj

    def _seen(self, obj: Obj) -> Obj:
        """A node says that it is ready exactly if nothing keeps it from saying so."""
        if obj["kind"] != "Node":
            return obj
        lost = {fact[1] for fact in self.facts if fact[0] in ("paused", "kubelet stopped")}
        status = "Unknown" if obj["metadata"]["name"] in lost else "True"
        return obj | {"status": {"conditions": [{"type": "Ready", "status": status}]}}


@contextmanager
def in_the_hands_of(process: Process, world: World) -> Iterator[None]:
    """The world, and the disk, act for this process; its locks go with it."""
    world.process, really = process, ledger.append
    with pytest.MonkeyPatch.context() as patch:

        def append(descriptor: int, line: Mapping[str, Any]) -> None:
            what = "the record" if "record" in line else "the mark"
            process.step(f"before {what}")
            if process.dies_next:
                data = b"\n" + orjson.dumps(line)
                write_all(descriptor, data[: len(data) // 2])
            process.step(f"{what} is half written")
            really(descriptor, line)
            process.step(f"{what} is written")

        for module in (ledger, healing):
            patch.setattr(module, "append", append)
        patch.setattr("os.fsync", lambda _: process.step(ON_DISK))
        yield


def opened(folder: Path) -> ledger.Ledger:
    """A ledger in a folder, whose lock goes when it is let go of: as with the process."""
    lock = FileLock.try_lock(folder / f"1{ledger.SUFFIX}")
    assert lock is not None
    return ledger.Ledger(lock)


def _key(obj: Obj) -> Key:
    meta = obj["metadata"]
    return obj["kind"], meta.get("namespace") or "", meta["name"]


def _error(status: int, reason: str, detail: str) -> ApiError:
    return ApiError(status=status, reason=reason, detail=detail, request="", body={})


def _merged(old: Any, new: Any, *, by_name: bool) -> Any:
    """A merge patch: mappings by key, None removes. A strategic one: lists `by_name`, too."""
    if isinstance(old, dict) and isinstance(new, dict):
        merged = {k: _merged(old.get(k), v, by_name=by_name) for k, v in new.items()}
        return {key: each for key, each in {**old, **merged}.items() if each is not None}
    if by_name and isinstance(old, list) and isinstance(new, list):
        named = {each["name"]: each for each in old}
        for each in new:
            if each.get("$patch") == "delete":
                named.pop(each["name"], None)
            else:
                named[each["name"]] = _merged(named.get(each["name"], {}), each, by_name=True)
        return list(named.values())
    return new


def _told(obj: Any) -> Any:
    """Without empty mappings, and without the time of a restart: pods were replaced, and nobody
    replaces them back."""
    if isinstance(obj, dict):
        kept = {k: _told(v) for k, v in obj.items() if k != "kubectl.kubernetes.io/restartedAt"}
        return {key: each for key, each in kept.items() if each not in ({}, None)}
    return [_told(each) for each in obj] if isinstance(obj, list) else obj
