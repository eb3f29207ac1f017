"""Reading what a kubelet counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.history.history import History
from harness.history.writer import Writer
from harness.kube.kubelet import (
    FailedProbes,
    WorkingSet,
    parse_memory,
    parse_pod_cpu,
    parse_probes,
)
from harness.trial.observer import ProbeCounts, SiblingCpu

# As kubelet v1.36 writes it, shortened.
MEMORY = """\
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
# HELP pod_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the pod
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="shop",pod="api-1"} 4.5 1795376898000
pod_cpu_usage_seconds_total{namespace="data",pod="db-0"} 9.25 1795376898000
"""
PROBES = """\
# HELP prober_probe_total [BETA] Cumulative number of a probe for a container by result.
# TYPE prober_probe_total counter
prober_probe_total{probe_type="Liveness",result="failed",@} 3
prober_probe_total{probe_type="Liveness",result="successful",@} 6
prober_probe_total{probe_type="Readiness",result="failed",@} 12
""".replace("@", 'container="api",namespace="shop",pod="api-1",pod_uid="5c7e"')


def test_working_sets_are_those_of_containers_only() -> None:
    assert parse_memory(MEMORY) == [
        WorkingSet(namespace="shop", pod="api-1", container="api", value=47316992),
        WorkingSet(namespace="data", pod="db-0", container="db", value=1048576),
    ]


def test_every_pod_has_its_cpu() -> None:
    assert parse_pod_cpu(MEMORY) == {("shop", "api-1"): 4.5, ("data", "db-0"): 9.25}


def test_what_other_trials_use_is_summed_over_pods_that_come_and_go() -> None:
    siblings = SiblingCpu()
    others = {"shop-2", "shop-3"}
    readings = [
        ({("shop-1", "a"): 5.0, ("shop-2", "a"): 7.0}, 0.0),
        ({("shop-1", "a"): 9.0, ("shop-2", "a"): 8.0, ("shop-3", "a"): 2.0}, 3.0),
        ({("shop-3", "a"): 2.5}, 3.5),
        ({("shop-2", "a"): 8.5, ("shop-3", "b"): 1.0}, 5.0),
    ]
    assert [siblings.take(pods, others) for pods, _ in readings] == [
        so_far for _, so_far in readings
    ]


def test_failed_probes_are_told_by_container_and_kind() -> None:
    assert parse_probes(PROBES) == [
        FailedProbes(
            namespace="shop", pod="api-1", pod_uid="5c7e", container="api", probe=probe, value=value
        )
        for probe, value in (("liveness", 3), ("readiness", 12))
    ]


def test_a_count_is_written_when_it_has_grown(tmp_path: Path) -> None:
    history = History()
    counts = ProbeCounts(Writer(tmp_path, history))
    failed = replace(parse_probes(PROBES)[0], value=1)
    counts.take("n1", [failed], 10)
    counts.take("n1", [failed], 20)
    counts.take("n2", [replace(failed, pod_uid="77aa")], 25)
    counts.take("n1", [replace(failed, value=3)], 30)
    told = [
        (r["pod_uid"], r["value"], r["since"]) for r in history.samples("failed_liveness_probes")
    ]
    assert told == [("5c7e", 1, None), ("77aa", 1, None), ("5c7e", 3, 20)]


def test_a_kubelet_without_containers_has_none() -> None:
    assert parse_memory("") == []
    assert parse_probes("") == []
