"""Reading a kubelet's working sets."""

from __future__ import annotations

from harness.cluster.memory import WorkingSet, parse

# As kubelet v1.36 writes it, shortened.
EXPOSITION = """\
# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="api",namespace="shop",pod="api-1"} 4.2 1795376898000
# HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="api",namespace="shop",pod="api-1"} 47316992 17
container_memory_working_set_bytes{container="db",namespace="data",pod="db-0"} 1048576 1795376898000
# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 9.5e+08 1795376898000
"""


def test_working_sets_are_those_of_containers_only() -> None:
    assert parse(EXPOSITION) == [
        WorkingSet(namespace="shop", pod="api-1", container="api", value=47316992),
        WorkingSet(namespace="data", pod="db-0", container="db", value=1048576),
    ]


def test_a_kubelet_without_containers_has_none() -> None:
    assert parse("") == []
