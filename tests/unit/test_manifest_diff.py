from __future__ import annotations

import copy
from typing import Any

import pytest

from harness.manifest.diff import Change, diff
from harness.manifest.isolation import isolate
from harness.manifest.yaml import load_all

API = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout-api, labels: {app: checkout-api}}
spec:
  replicas: 3
  selector: {matchLabels: {app: checkout-api}}
  template:
    metadata: {labels: {app: checkout-api}}
    spec:
      containers:
        - name: migrate
          image: a:1
        - name: checkout-api
          image: shop/api:1
          env: [{name: A, value: "1"}, {name: DB, value: checkout-db.shop.svc}]
          ports: [{name: http, containerPort: 8080}]
          livenessProbe: {httpGet: {path: /healthz/db, port: 8080}, periodSeconds: 20}
          resources: {limits: {cpu: 1000m, memory: 256Mi}}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
"""


def api() -> list[dict[str, Any]]:
    return load_all(API)


def main(objects: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = objects[0]["spec"]["template"]["spec"]["containers"][1]
    return found


def only(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Change:
    (change,) = diff(before, after)
    return change


def test_a_path_reads_as_one_would_point_at_it() -> None:
    after = api()
    main(after)["livenessProbe"]["httpGet"]["path"] = "/healthz/live"
    assert str(only(api(), after)) == (
        "Deployment/checkout-api .spec.template.spec.containers[checkout-api]"
        '.livenessProbe.httpGet.path: "/healthz/db" -> "/healthz/live"'
    )


def test_equal_objects_do_not_differ_and_order_does_not_matter() -> None:
    after = api()
    after[0]["spec"]["template"]["spec"]["containers"].reverse()
    main_container = after[0]["spec"]["template"]["spec"]["containers"][0]
    main_container["env"].reverse()
    assert diff(api(), after) == []


@pytest.mark.parametrize(
    ("changed", "path", "before", "after"),
    [
        ({"startupProbe": {"periodSeconds": 1}}, ".startupProbe", None, {"periodSeconds": 1}),
        ({"livenessProbe": None}, ".livenessProbe", "(a probe)", None),
        ({"env": [{"name": "A", "value": "2"}]}, ".env[A].value", "1", "2"),
        ({"args": ["a", "b"]}, ".args", None, ["a", "b"]),
        (
            {"ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9}]},
            ".ports[9]",
            None,
            {"containerPort": 9},
        ),
        (
            {"volumeMounts": [{"name": "other", "mountPath": "/tmp"}]},
            ".volumeMounts[/tmp].name",
            "tmp",
            "other",
        ),
        (
            {"resources": {"limits": {"cpu": "1", "memory": "2Gi"}}},
            ".resources.limits.memory",
            "256Mi",
            "2Gi",
        ),
    ],
)
def test_fields(changed: dict[str, Any], path: str, before: Any, after: Any) -> None:
    new = api()
    for key, value in changed.items():
        if value is None:
            del main(new)[key]
        else:
            main(new)[key] = value
    changes = diff(api(), new)
    found = next(c for c in changes if c.path.endswith(path))
    assert found.path == f".spec.template.spec.containers[checkout-api]{path}"
    assert found.after == after
    if before != "(a probe)":
        assert found.before == before


def test_equal_quantities_and_empty_values_are_no_difference() -> None:
    after = api()
    main(after)["resources"]["limits"] = {"cpu": 1, "memory": str(256 * 1024 * 1024)}
    main(after)["args"] = []
    after[0]["metadata"]["annotations"] = {}
    assert diff(api(), after) == []


def test_a_boolean_is_not_a_number_and_false_is_not_absent() -> None:
    one, other = api(), api()
    main(one)["securityContext"] = {"privileged": True, "a": 1}
    main(other)["securityContext"] = {"privileged": 1, "a": 1}
    assert only(one, other).path.endswith(".securityContext.privileged")
    main(other)["securityContext"] = {"a": 1, "privileged": True, "runAsNonRoot": False}
    assert only(one, other).after is False


def test_objects_on_one_side_only() -> None:
    quota = load_all("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\n")
    assert str(only(api(), api() + quota)) == 'ResourceQuota/q: (absent) -> "present"'
    assert str(only(api() + quota, api())) == 'ResourceQuota/q: "present" -> (absent)'


def test_the_trials_suffix_is_no_difference() -> None:
    service = load_all("apiVersion: v1\nkind: Service\nmetadata: {name: checkout-db}\nspec: {}")
    objects = api() + service
    one = isolate(objects, trial="a1", default_namespace="shop").objects
    other = isolate(objects, trial="b22", default_namespace="shop").objects
    assert diff(one, other) != []
    assert diff(one, other, trials=("a1", "b22")) == []
    main(other[-2:])["image"] = "shop/api:2"
    assert [change.after for change in diff(one, other, trials=("a1", "b22"))] == ["shop/api:2"]


def test_the_hash_of_a_generated_name_is_no_difference_but_its_content_is() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings-%s}\ndata: {level: %s}\n"
    one = load_all(text % ("4h2mbtbbt6", "a"))
    other = load_all(text % ("9kf7gtm2dd", "b"))
    assert str(only(one, other)) == 'ConfigMap/settings .data.level: "a" -> "b"'


def test_what_the_cluster_adds_is_no_difference() -> None:
    live = api()
    live[0]["status"] = {"readyReplicas": 3}
    live[0]["metadata"] |= {
        "uid": "1",
        "resourceVersion": "7",
        "managedFields": [],
        "generation": 2,
    }
    assert diff(api(), live) == []


def test_same_name_in_two_namespaces() -> None:
    def settings(namespace: str, value: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": namespace},
            "data": {"k": value},
        }

    before = [settings("x", "1"), settings("y", "1")]
    after = [settings("x", "1"), settings("y", "2")]
    assert str(only(before, after)) == 'y/ConfigMap/a .data.k: "1" -> "2"'


def test_annotation_keys_with_slashes_are_quoted() -> None:
    after = api()
    after[0]["metadata"]["annotations"] = {"example.com/a": "b"}
    before = copy.deepcopy(after)
    before[0]["metadata"]["annotations"]["example.com/a"] = "c"
    assert only(before, after).path == '.metadata.annotations["example.com/a"]'


def test_diff_backwards_is_the_same_changes_turned_around() -> None:
    after = api()
    main(after)["image"] = "x:2"
    main(after)["livenessProbe"] = {"tcpSocket": {"port": 1}}
    forwards = {(c.path, str(c.before), str(c.after)) for c in diff(api(), after)}
    backwards = {(c.path, str(c.after), str(c.before)) for c in diff(after, api())}
    assert forwards == backwards
    assert len(forwards) == 4


def test_items_without_a_key_are_compared_by_position_if_there_are_as_many() -> None:
    text = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec:
  podSelector: {}
  ingress: [{from: [{podSelector: {matchLabels: {app: %s}}}], ports: [{port: 5432}]}]
"""
    change = only(load_all(text % "api"), load_all(text % "web"))
    assert change.path == ".spec.ingress[0].from[0].podSelector.matchLabels.app"
    wider = load_all(text.replace("ports: [{port: 5432}]", "ports: []") % "api")
    assert only(load_all(text % "api"), wider).path == ".spec.ingress[0].ports[5432]"
    more = load_all(text % "api")
    more[0]["spec"]["ingress"][0]["from"].append({"ipBlock": {"cidr": "10.0.0.0/8"}})
    assert only(load_all(text % "api"), more).path == ".spec.ingress[0].from"


def test_arguments_are_one_value() -> None:
    one, other = api(), api()
    main(one)["args"], main(other)["args"] = ["--a", "1"], ["--a", "2"]
    change = only(one, other)
    assert (change.before, change.after) == (["--a", "1"], ["--a", "2"])
    assert diff(one, one) == []


def test_what_is_no_quantity_is_compared_as_text() -> None:
    one, other = api(), api()
    main(one)["resources"]["limits"]["memory"] = "lots"
    main(other)["resources"]["limits"]["memory"] = "more"
    assert only(one, other).before == "lots"
