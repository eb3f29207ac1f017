"""Memory of containers as their kubelets report it.

`/metrics/resource` of a kubelet has the working set of every container, refreshed about every 10 to
15 seconds; a container's peak between two readings is not in it (faults read the kernel's own).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from harness.cluster.api import ApiError, Kube, UnreachableError

_METRIC = "container_memory_working_set_bytes"


@dataclass(frozen=True, kw_only=True)
class WorkingSet:
    """Bytes that a container uses and the kernel cannot take back without harm."""

    namespace: str
    pod: str
    container: str
    value: int


async def working_sets(
    kube: Kube, nodes: Iterable[str], namespaces: Collection[str]
) -> list[WorkingSet]:
    """Of all containers of these namespaces; a node that does not answer has none."""
    answers = await asyncio.gather(*(_ask(kube, node) for node in nodes))
    return [each for text in answers for each in parse(text) if each.namespace in namespaces]


def parse(text: str) -> list[WorkingSet]:
    """The working sets in a kubelet's exposition text."""
    return [
        WorkingSet(
            namespace=sample.labels["namespace"],
            pod=sample.labels["pod"],
            container=sample.labels["container"],
            value=int(sample.value),
        )
        for family in text_string_to_metric_families(text)
        if family.name == _METRIC
        for sample in family.samples
    ]


async def _ask(kube: Kube, node: str) -> str:
    try:
        answer = await kube.node_proxy(node, "metrics/resource")
    except (ApiError, UnreachableError):
        # A node that a fault has taken away; that it is away is recorded by the watches.
        return ""
    return answer.text if answer.status == 200 else ""
