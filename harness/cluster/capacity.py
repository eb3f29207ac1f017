"""What a cluster has left for pods, and what manifests ask of it: CPU in cores, memory in bytes.

Requests decide what the scheduler places. Trials that together ask for more than is left would wait
for each other's end, and be judged by that wait; so each reserves its room before it begins (see
`harness.cluster.reservations`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.manifest.objects import Object, containers, pod_spec, replicas, workloads
from harness.units import quantity

_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Room:
    """CPU in cores and memory in bytes."""

    cpu: float = 0.0
    memory: float = 0.0

    def __add__(self, other: Room) -> Room:
        return Room(self.cpu + other.cpu, self.memory + other.memory)

    def __sub__(self, other: Room) -> Room:
        return Room(self.cpu - other.cpu, self.memory - other.memory)

    def holds(self, other: Room) -> bool:
        """True if `other` fits in."""
        return other.cpu <= self.cpu and other.memory <= self.memory


@dataclass(frozen=True)
class Reservation:
    """Room that a living trial has taken for the pods in its namespaces."""

    room: Room
    namespaces: frozenset[str]


def free(nodes: Sequence[Object], pods: Sequence[Object], taken: Sequence[Reservation]) -> Room:
    """What the schedulable nodes can still take, all together.

    A reservation stands for the pods in its namespaces, whether they are there yet or not.
    """
    able = [node for node in nodes if not node["spec"].get("unschedulable")]
    names = {node["metadata"]["name"] for node in able}
    covered = {namespace for each in taken for namespace in each.namespaces}
    room = sum((_room(node["status"]["allocatable"]) for node in able), Room())
    for each in taken:
        room -= each.room
    for pod in pods:
        counts = (
            pod["spec"].get("nodeName") in names
            and pod["status"].get("phase") not in _ENDED
            and pod["metadata"]["namespace"] not in covered
        )
        if counts:
            room -= requested(pod["spec"]["containers"])
    return room


def asked(objects: Iterable[Object]) -> Room:
    """What the workloads ask for, with what a rollout needs beside their replicas."""
    total = Room()
    for workload in workloads(objects):
        if pod_spec(workload) is None:
            continue
        pods = replicas(workload) or 1
        if workload["kind"] == "Deployment":
            pods += _surge(workload, pods)
        one = requested(containers(workload, "app"))
        total += Room(one.cpu * pods, one.memory * pods)
    return total


def requested(of: Sequence[Object]) -> Room:
    """What containers request together; a limit stands for a request that is not declared."""
    total = Room()
    for container in of:
        resources = container.get("resources") or {}
        total += _room({**(resources.get("limits") or {}), **(resources.get("requests") or {})})
    return total


def _surge(deployment: Object, pods: int) -> int:
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0
    surge = (strategy.get("rollingUpdate") or {}).get("maxSurge", "25%")
    if isinstance(surge, str):
        return math.ceil(pods * int(surge.rstrip("%")) / 100)
    return int(surge)


def _room(resources: Object) -> Room:
    return Room(
        float(quantity(resources.get("cpu") or 0)), float(quantity(resources.get("memory") or 0))
    )
