"""What kubelets count, and nobody limits: memory of containers, CPU of nodes, probes that failed.

`/metrics/resource` has the working set of every container and the node's CPU, renewed about every
10 to 15 seconds; a container's peak between two readings is not in it (faults read the kernel's
own). `/metrics/probes` counts every probe by its result for as long as the pod is there. Events are
limited instead: a kubelet sends 25 warnings of a pod and then one in five minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from harness.kube.client import ApiError, Kube, UnreachableError


@dataclass(frozen=True, kw_only=True)
class WorkingSet:
    """Bytes that a container uses and the kernel cannot take back without harm."""

    namespace: str
    pod: str
    container: str
    value: int


@dataclass(frozen=True, kw_only=True)
class NodeCpu:
    """CPU seconds that a node has used with all that runs in it, as counted `at` (Unix seconds)."""

    seconds: float
    at: float


PodCpu = dict[tuple[str, str], float]
"""CPU seconds that each pod, by namespace and name, has used in its life."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the kubelets that answered count: memory of containers, CPU of nodes and of all pods."""

    memory: list[WorkingSet]
    nodes: dict[str, NodeCpu]
    pods: PodCpu


@dataclass(frozen=True, kw_only=True)
class FailedProbes:
    """How often a probe (`liveness`, `readiness`, `startup`) failed in the life of a pod."""

    namespace: str
    pod: str
    pod_uid: str
    container: str
    probe: str
    value: int


async def resources(kube: Kube, nodes: Sequence[str], namespaces: Collection[str]) -> Resources:
    """Memory of all containers of these namespaces, and everybody's CPU.

    A node that does not answer is in none of it.
    """
    texts = await asyncio.gather(*(_ask(kube, node, "metrics/resource") for node in nodes))
    told = list(zip(nodes, texts, strict=True))
    return Resources(
        memory=[each for t in texts for each in parse_memory(t) if each.namespace in namespaces],
        nodes={node: found for node, t in told if (found := parse_cpu(t))},
        pods={pod: used for t in texts for pod, used in parse_pod_cpu(t).items()},
    )


async def failed_probes(
    kube: Kube, nodes: Sequence[str], namespaces: Collection[str]
) -> dict[str, list[FailedProbes]]:
    """Of all probes of these namespaces, by node; a node that does not answer is left out."""
    texts = await asyncio.gather(*(_ask(kube, node, "metrics/probes") for node in nodes))
    return {
        node: [each for each in parse_probes(text) if each.namespace in namespaces]
        for node, text in zip(nodes, texts, strict=True)
        if text
    }


def parse_memory(text: str) -> list[WorkingSet]:
    """The working sets in a kubelet's `/metrics/resource`."""
    return [
        WorkingSet(
            namespace=sample.labels["namespace"],
            pod=sample.labels["pod"],
            container=sample.labels["container"],
            value=int(sample.value),
        )
        for sample in _samples(text, "container_memory_working_set_bytes")
    ]


def parse_cpu(text: str) -> NodeCpu | None:
    """The node's CPU in a kubelet's `/metrics/resource`, None if it is not in it."""
    for sample in _samples(text, "node_cpu_usage_seconds"):
        if sample.timestamp is not None:
            return NodeCpu(seconds=sample.value, at=float(sample.timestamp))
    return None


def parse_pod_cpu(text: str) -> PodCpu:
    """The CPU of every pod in a kubelet's `/metrics/resource`."""
    return {
        (sample.labels["namespace"], sample.labels["pod"]): sample.value
        for sample in _samples(text, "pod_cpu_usage_seconds")
    }


def parse_probes(text: str) -> list[FailedProbes]:
    """The failed probes in a kubelet's `/metrics/probes`."""
    return [
        FailedProbes(
            namespace=sample.labels["namespace"],
            pod=sample.labels["pod"],
            pod_uid=sample.labels["pod_uid"],
            container=sample.labels["container"],
            probe=sample.labels["probe_type"].lower(),
            value=int(sample.value),
        )
        # The parser takes `_total` from a counter's name, and leaves it in its samples'.
        for sample in _samples(text, "prober_probe")
        if sample.labels["result"] == "failed"
    ]


def _samples(text: str, family: str) -> Iterable[Sample]:
    families: Iterable[Metric] = text_string_to_metric_families(text)
    return (sample for each in families if each.name == family for sample in each.samples)


async def _ask(kube: Kube, node: str, path: str) -> str:
    try:
        answer = await kube.node_proxy(node, path)
    except (ApiError, UnreachableError):
        # A node that a fault has taken away; that it is away is recorded by the watches.
        return ""
    return answer.text if answer.status == 200 else ""
