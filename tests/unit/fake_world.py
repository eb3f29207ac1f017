"""A cluster that holds state and can be changed in every way in which the harness changes one.

The client of its API server is the real one, as are all faults and undos; objects, nodes and the
container engine are plain data. Each change is a step of the process that lives at the time: if
that dies right after it sent one, the change is carried out later, when `arrive` is called.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from dying import Death, Steps
from fake_objects import ObjectsWire, RefusedError, merge

from harness.cluster.clusters import Cluster, Node, Versions
from harness.faults import hang, in_node, memory_pressure, node_loss, rollouts
from harness.host.engine import Engine
from harness.host.processes import Completed
from harness.kube.client import Kube
from harness.kube.pod_exec import ExecResult
from harness.undo.reach import World
from harness.undo.record import ClusterRef, Record

Json = dict[str, Any]
Effect = Callable[[], Any]


@dataclass
class State:
    """All that can be changed. Objects by kind, namespace and name; what is done in nodes by node
    and name; what pods of ours were asked to do by pod and what it is."""

    objects: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    in_nodes: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: dict[tuple[str, str], Any] = field(default_factory=dict)


class FakeWorld:
    """The cluster, as seen by the process that takes `steps`."""

    def __init__(self) -> None:
        self.state = State()
        self.steps = Steps()
        self.late: list[Effect] = []
        self.cluster = Cluster(
            name="unit",
            kubeconfig=Path("/nowhere/kubeconfig"),
            context="kind-unit",
            shape="workers",
            nodes=tuple(
                Node(name=n, role=role)
                for n, role in (("cp", "control-plane"), ("n1", "worker"), ("n2", "worker"))
            ),
            entry_ports=(),
            uid="uid-1",
            versions=Versions(kubernetes="v1", containerd="", kind="", node_image=""),
            created=datetime.now(UTC),
            folder=Path("/nowhere"),
            engine=cast(Engine, _Engine(self)),
        )
        self.kube = _Kube(self)

    def change(self, what: str, effect: Effect) -> Any:
        """One change, sent and answered."""
        try:
            self.steps.take(f"{what} sent")
        except Death as death:
            if death.args:
                self.late.append(effect)
            raise
        result = effect()
        self.steps.take(f"{what} answered")
        return result

    def arrive(self) -> None:
        """What the dead had sent is carried out."""
        for effect in self.late:
            # It may have become impossible; nobody is told.
            with suppress(RefusedError):
                effect()
        self.late.clear()

    def add(self, obj: Json) -> None:
        """An object, as if somebody had made it."""
        meta = obj["metadata"]
        meta.setdefault("uid", f"uid-{meta['name']}")
        meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        self.state.objects[obj["kind"], meta.get("namespace", ""), meta["name"]] = obj

    def seen(self) -> State:
        """The state, without what no undo answers for: a user restarts and deletes pods, too."""
        seen = copy.deepcopy(self.state)
        # Those of a workload come and go; somebody else replaces them.
        for key in [key for key in seen.objects if key[:2] == ("Pod", "shop")]:
            del seen.objects[key]
        for (kind, _, _), obj in seen.objects.items():
            if kind == "Deployment":
                merge(
                    obj["spec"]["template"],
                    {"metadata": {"annotations": {rollouts.RESTARTED: None}}},
                )
        return seen

    async def run(
        self, node: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60
    ) -> Completed:
        """A command in a node."""
        self.change(f"command in {node}", lambda: self._in_node(node, list(argv)))
        return Completed(argv=tuple(argv), code=0, stdout=b"", stderr=b"")

    def _in_node(self, node: str, argv: list[str]) -> None:
        there = self.state.in_nodes
        match argv:
            case ["bash", "-c", in_node._START, _, _, name, _, heal, _]:
                there[node, name] = heal
            case ["bash", "-c", in_node._STOP, _, _, name, heal]:
                there.pop((node, name), None)
                for undone in _healed_by(heal):
                    there.pop((node, undone), None)
            case ["bash", "-c", memory_pressure._CHARGE, _, uid, _, _]:
                there[node, f"charged {uid}"] = ""
            case ["bash", "-c", hang._STOP, _, uid, _]:
                there[node, f"stopped {uid}"] = ""
            case ["systemctl", "stop", "kubelet"]:
                there[node, "no kubelet"] = ""
            case _:
                raise AssertionError(f"the fake nodes do not know {argv}")


def _healed_by(script: str) -> list[str]:
    """What is undone in a node by one of the harness's scripts."""
    if script == node_loss._START_KUBELET:
        return ["no kubelet"]
    uid = "uid-api-1"
    known = {memory_pressure._release(uid): f"charged {uid}", hang._continue(uid): f"stopped {uid}"}
    return [known[script]]


class _Kube(Kube):
    """Runs the intruder in pods, who leaves something there until he cleans up."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(ObjectsWire(world))
        self._world = world

    async def execute(
        self, namespace: str, pod: str, container: str, argv: Sequence[str], **_: Any
    ) -> ExecResult:
        left, here = self._world.state.in_nodes, (pod, "payload")
        effects = {
            "attempt": lambda: left.setdefault(here, ""),
            "clean": lambda: left.pop(here, ""),
        }
        self._world.change(f"command in {pod}", effects[argv[-1]])
        return ExecResult(stdout=b"[]", stderr=b"", code=0)


class _Engine:
    """Pauses nodes."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def adocker(self, verb: str, *words: str, check: bool = True) -> str:
        world, paused = self._world, (words[-1], "paused")
        if verb == "inspect":
            return str(paused in world.state.in_nodes).lower()
        effect = {
            "pause": lambda: world.state.in_nodes.setdefault(paused, ""),
            "unpause": lambda: world.state.in_nodes.pop(paused, ""),
        }[verb]
        world.change(f"docker {verb}", effect)
        return ""


class Reach(World):
    """What an undo finds when it reaches for the fake cluster."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(AsyncExitStack())
        self._world = world
        self.adopt(world.cluster, kube=world.kube, nodes=world)

    async def why_gone(self, ref: ClusterRef) -> str:
        return ""

    async def cluster(self, record: Record) -> Cluster:
        return self._world.cluster
