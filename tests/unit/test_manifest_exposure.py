"""Probe timing: known numbers, the defaults, and what the formula must never do."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness.errors import ManifestError
from harness.judgement.exposure import SAFETY
from harness.manifest.exposure import (
    full_start,
    liveness_kills,
    readiness_removes,
    readiness_returns,
    startup_budget,
)
from harness.manifest.facts import facts
from harness.manifest.probes import probe_target, probes
from harness.manifest.subject_file import Role


def workload(*containers: dict[str, Any], grace: int | None = None, **spec: Any) -> dict[str, Any]:
    pod: dict[str, Any] = {"containers": list(containers)}
    if grace is not None:
        pod["terminationGracePeriodSeconds"] = grace
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"replicas": 3, "template": {"metadata": {"labels": {"app": "api"}}, "spec": pod}}
        | spec,
    }


def container(name: str = "api", **kinds: dict[str, Any]) -> dict[str, Any]:
    http = {"httpGet": {"path": "/healthz", "port": 8080}}
    return {"name": name} | {f"{kind}Probe": http | values for kind, values in kinds.items()}


def test_defaults_are_those_of_kubernetes() -> None:
    (probe,) = probes(workload(container(liveness={})))
    assert (probe.period, probe.timeout, probe.initial_delay, probe.grace) == (10, 1, 0, 30)
    assert (probe.failure_threshold, probe.success_threshold) == (3, 1)
    assert probe.target == "GET :8080/healthz"


def test_the_liveness_of_the_first_seed() -> None:
    api = workload(container(liveness={"initialDelaySeconds": 15, "periodSeconds": 20}))
    span = liveness_kills(api)
    assert span is not None
    assert span.seconds == 15 + 3 * 20 + 1 + 30
    assert span.because == "15 s delay + 3 x 20 s period + 1 s timeout + 30 s grace"
    assert span.seconds * SAFETY == 159


def test_the_readiness_of_the_first_seed() -> None:
    readiness = {"initialDelaySeconds": 5, "periodSeconds": 10, "failureThreshold": 3}
    api = workload(container(readiness=readiness))
    removed, returned = readiness_removes(api), readiness_returns(api)
    assert removed is not None
    assert returned is not None
    assert (removed.seconds, removed.because) == (31, "3 x 10 s period + 1 s timeout")
    assert (returned.seconds, returned.because) == (11, "10 s period + 1 s timeout")
    assert liveness_kills(api) is None


def test_startup_budget_of_the_seed_and_without_a_startup_probe() -> None:
    slow = workload(container(startup={"failureThreshold": 30, "periodSeconds": 10}))
    budget = startup_budget(slow)
    assert budget is not None
    assert budget.seconds == 301
    liveness = workload(container(liveness={"initialDelaySeconds": 15, "periodSeconds": 20}))
    bound = startup_budget(liveness)
    assert bound is not None
    assert bound.because == "15 s delay + 3 x 20 s period + 1 s timeout"
    assert startup_budget(workload(container(readiness={}))) is None


def test_a_probes_own_grace_wins_over_the_pods() -> None:
    own = workload(container(liveness={"terminationGracePeriodSeconds": 4}), grace=60)
    pods = workload(container(liveness={}), grace=60)
    assert liveness_kills(own).seconds == 31 + 4  # type: ignore[union-attr]
    assert liveness_kills(pods).seconds == 31 + 60  # type: ignore[union-attr]


def test_the_slowest_container_counts_and_is_named() -> None:
    api = workload(
        container("api", liveness={"periodSeconds": 5}),
        container("sidecar", liveness={"periodSeconds": 30}),
        container("plain"),
    )
    span = liveness_kills(api)
    assert span is not None
    assert span.seconds == 3 * 30 + 1 + 30
    assert span.because.endswith("(sidecar)")


def test_a_timeout_above_the_period_sets_the_pace() -> None:
    liveness = {"periodSeconds": 3, "timeoutSeconds": 5, "terminationGracePeriodSeconds": 2}
    span = liveness_kills(workload(container(liveness=liveness)))
    assert span is not None
    assert (span.seconds, span.because) == (22, "3 x 5 s timeout + 5 s timeout + 2 s grace")


def test_sidecars_count_and_init_containers_do_not() -> None:
    api = workload(container("api", liveness={}))
    api["spec"]["template"]["spec"]["initContainers"] = [
        container("migrate", liveness={"periodSeconds": 100}),
        container("proxy", liveness={"periodSeconds": 50}) | {"restartPolicy": "Always"},
    ]
    assert [probe.container for probe in probes(api)] == ["proxy", "api"]


def test_success_threshold_delays_the_return() -> None:
    span = readiness_returns(workload(container(readiness={"successThreshold": 3})))
    assert span is not None
    assert (span.seconds, span.because) == (31, "3 x 10 s period + 1 s timeout")


@pytest.mark.parametrize(
    ("probe", "text"),
    [
        ({"httpGet": {"port": "http"}}, "GET :http/"),
        ({"httpGet": {"port": 1, "path": "/a", "scheme": "HTTPS"}}, "GET https :1/a"),
        ({"tcpSocket": {"port": 5432}}, "TCP :5432"),
        ({"grpc": {"port": 9000, "service": "live"}}, "gRPC :9000 live"),
        ({"exec": {"command": ["pg_isready", "-q"]}}, "exec pg_isready -q"),
    ],
)
def test_probe_target(probe: dict[str, Any], text: str) -> None:
    assert probe_target(probe) == text


def test_slower_probes_never_mean_less_exposure() -> None:
    numbers = random.Random(11)
    fields = ["periodSeconds", "timeoutSeconds", "failureThreshold", "initialDelaySeconds"]
    for _ in range(300):
        values = {field: numbers.randint(1, 60) for field in fields}
        field = numbers.choice(fields)
        slower = values | {field: values[field] + numbers.randint(1, 60)}
        grace = numbers.randint(1, 90)
        before = liveness_kills(workload(container(liveness=values), grace=grace))
        after = liveness_kills(workload(container(liveness=slower), grace=grace))
        assert before is not None
        assert after is not None
        assert after.seconds >= before.seconds
        assert after.seconds > before.seconds or field == "periodSeconds"
        assert before.seconds > grace


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "api", "namespace": "shop"},
    "spec": {"selector": {"app": "api"}, "ports": [{"name": "http", "port": 80}]},
}


def test_facts_of_roles() -> None:
    api = workload(container(liveness={}, readiness={}))
    roles = {
        "entry": Role.model_validate("Service/api:http"),
        "workload": Role.model_validate("Deployment/api"),
    }
    found = facts([api, SERVICE], roles, scale=5)
    entry, own = found.role("entry"), found.role("workload")
    assert found.scale == 5
    assert (entry.ref, entry.port, entry.namespace) == ("Service/api", 80, "shop")
    assert entry.workloads == own.workloads == ("Deployment/api",)
    assert (own.port, own.replicas, own.startup_s, own.grace_s) == (None, 3, 31, 30)
    assert (own.liveness_s, own.readiness_out_s, own.readiness_back_s) == (61, 31, 11)
    assert own.why["liveness_s"] == "3 x 10 s period + 1 s timeout + 30 s grace"


def test_facts_of_a_workload_without_probes() -> None:
    own = facts([workload(container())], {"workload": Role.model_validate("Deployment/api")})
    assert own.role("workload").liveness_s is None
    assert own.role("workload").readiness_back_s is None


def test_facts_of_a_missing_object() -> None:
    with pytest.raises(ManifestError, match="no Deployment/app"):
        facts([workload(container())], {"workload": Role.model_validate("Deployment/app")})


SLOW = container(
    startup={"periodSeconds": 10, "failureThreshold": 60},
    readiness={"initialDelaySeconds": 5, "periodSeconds": 10},
)


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 601 + 16),
        ({"minReadySeconds": 20}, 601 + 16 + 20),
        ({"progressDeadlineSeconds": 60}, 601 + 16),
        ({"progressDeadlineSeconds": 900}, 900),
    ],
)
def test_a_full_start_takes_what_the_manifest_allows(spec: dict[str, Any], seconds: float) -> None:
    assert full_start(workload(SLOW, **spec)).seconds == seconds


def test_pods_of_a_stateful_set_start_one_after_the_other() -> None:
    ordered = workload(SLOW) | {"kind": "StatefulSet"}
    assert full_start(ordered).seconds == 3 * (601 + 16)
    at_once = workload(SLOW, podManagementPolicy="Parallel") | {"kind": "StatefulSet"}
    assert full_start(at_once).seconds == 601 + 16


def test_without_probes_a_manifest_allows_a_start_no_time_of_its_own() -> None:
    assert full_start(workload(container())).seconds == 0
