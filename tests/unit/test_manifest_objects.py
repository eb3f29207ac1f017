from __future__ import annotations

from typing import Any

import pytest

from harness.errors import ManifestError
from harness.manifest.objects import (
    Ref,
    containers,
    find,
    find_optional,
    matches,
    pod_labels,
    pod_spec,
    pod_template,
    pods_of_role,
    ref_of,
    replicas,
    service_port,
    service_workloads,
    target_port,
)


def deployment(name: str, namespace: str | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "spec": {
            "replicas": 3,
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [
                        {"name": name, "ports": [{"name": "http", "containerPort": 8080}]}
                    ]
                },
            },
        }
        | spec,
    }


def service(name: str, namespace: str | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "spec": {
            "selector": {"app": name},
            "ports": [{"name": "web", "port": 80, "targetPort": "http"}],
        }
        | spec,
    }


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("Deployment/checkout", Ref("Deployment", "checkout")),
        ("Service/postgres:5432", Ref("Service", "postgres", port=5432)),
        ("Service/postgres:pg", Ref("Service", "postgres", port="pg")),
        ("shop/Service/postgres:5432", Ref("Service", "postgres", "shop", 5432)),
    ],
)
def test_ref_reads_and_writes(text: str, ref: Ref) -> None:
    assert Ref.parse(text) == ref
    assert str(ref) == text


@pytest.mark.parametrize("bad", ["checkout", "", "/x", "Deployment/", "a/b/c/d", "Service/x:"])
def test_ref_refuses(bad: str) -> None:
    with pytest.raises(ManifestError) as raised:
        Ref.parse(bad)
    assert "Deployment/checkout" in raised.value.remedy


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"])
def test_pod_template_of_workloads(kind: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    obj = {"kind": kind, "metadata": {"name": "x"}, "spec": {"template": template}}
    assert pod_template(obj) is template
    assert pod_spec(obj) is template["spec"]
    assert pod_labels(obj) == {"a": "b"}


def test_pod_template_of_cron_job_pod_and_others() -> None:
    template = {"spec": {"containers": [{"name": "c"}]}}
    cron = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}
    pod = {"kind": "Pod", "spec": {"containers": [{"name": "c"}]}}
    assert pod_template(cron) is template
    assert pod_template(pod) is pod
    assert pod_template({"kind": "Service", "spec": {"template": template}}) is None
    assert pod_template({"kind": "Deployment"}) is None


def test_containers_by_kind() -> None:
    spec = {
        "initContainers": [{"name": "migrate"}, {"name": "proxy", "restartPolicy": "Always"}],
        "containers": [{"name": "app"}],
        "ephemeralContainers": [{"name": "debug"}],
    }
    pod = {"kind": "Pod", "spec": spec}
    names = {
        kind: [each["name"] for each in containers(pod, kind)]
        for kind in ("all", "app", "init", "sidecar")
    }
    assert names == {
        "all": ["migrate", "proxy", "app", "debug"],
        "app": ["app"],
        "init": ["migrate"],
        "sidecar": ["proxy"],
    }


def test_replicas_default_to_one_and_zero_is_zero() -> None:
    assert replicas(deployment("a")) == 3
    assert replicas({"kind": "Deployment", "spec": {}}) == 1
    assert replicas(deployment("a", replicas=0)) == 0
    assert replicas({"kind": "DaemonSet", "spec": {}}) is None


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ({"app": "a"}, {"app": "a", "x": "y"}, True),
        ({"app": "a"}, {"app": "b"}, False),
        ({}, {"app": "b"}, True),
        (None, {}, False),
        ({"matchLabels": {"app": "a"}}, {"app": "a"}, True),
        ({"matchLabels": {"app": "a"}}, {}, False),
        (
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]},
            {"app": "a"},
            True,
        ),
        (
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]},
            {"app": "a"},
            False,
        ),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, {}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, {"app": "a"}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, {"app": "a"}, False),
    ],
)
def test_matches(selector: Any, labels: dict[str, str], expected: bool) -> None:
    assert matches(selector, labels) is expected


def test_a_service_finds_workloads_of_its_namespace_only() -> None:
    here, there = deployment("api", "shop"), deployment("api", "other")
    front = service("api", "shop")
    objects = [here, there, front]
    assert service_workloads(objects, front) == [here]
    assert service_workloads(objects, service("api", "shop", selector=None)) == []
    assert pods_of_role(objects, Ref.parse("Service/api:80")) == [here]
    assert pods_of_role(objects, Ref.parse("shop/Deployment/api")) == [here]


def test_find_suggests() -> None:
    objects = [deployment("checkout-api"), service("checkout-db")]
    assert find(objects, Ref.parse("Deployment/checkout-api")) is objects[0]
    assert find_optional(objects, Ref.parse("Deployment/nothing")) is None
    with pytest.raises(ManifestError) as raised:
        find(objects, Ref.parse("Deployment/chekout-api"))
    assert "no Deployment/chekout-api" in raised.value.message
    assert raised.value.remedy == 'did you mean "Deployment/checkout-api"?'
    with pytest.raises(ManifestError) as raised:
        find(objects, Ref.parse("Service/zzzzzzzzzzzz:1"))
    assert raised.value.remedy == "name one of: Service/checkout-db"


def test_find_refuses_to_choose_between_namespaces() -> None:
    objects = [deployment("api", "a"), deployment("api", "b")]
    with pytest.raises(ManifestError) as raised:
        find(objects, Ref.parse("Deployment/api"))
    assert '"a/Deployment/api"' in raised.value.remedy
    assert ref_of(find(objects, Ref.parse("b/Deployment/api"))).namespace == "b"


def test_ports() -> None:
    api, front = deployment("api"), service("api")
    assert service_port(front)["name"] == "web"
    assert service_port(front, "web")["port"] == 80
    assert target_port(front, 80, api) == 8080
    assert target_port(service("api", ports=[{"port": 5432}]), None, api) == 5432
    with pytest.raises(ManifestError) as raised:
        service_port(front, 81)
    assert "80 (web)" in raised.value.remedy
    with pytest.raises(ManifestError) as raised:
        target_port(service("api", ports=[{"port": 80, "targetPort": "grpc"}]), 80, api)
    assert '"grpc"' in raised.value.message
