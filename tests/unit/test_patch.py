"""The patch from one state of an object to another: what differs, and nothing beside it."""

from __future__ import annotations

import copy
from typing import Any

from fake_objects import merge

from harness.manifest.patch import patch


def deployment(**container: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "side", "image": "side:1"}, {"name": "web", **container}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"replicas": 2, "template": {"spec": spec}},
    }


SECRET = {"name": "PASSWORD", "value": "secret"}
BEFORE = deployment(image="web:1", env=[SECRET, {"name": "LEVEL", "value": "info"}], tty=True)
AFTER = deployment(image="web:2", env=[SECRET, {"name": "SIZE", "value": "3"}])


def test_only_what_differs_is_told() -> None:
    assert "secret" not in str(patch(BEFORE, AFTER))
    (container,) = patch(BEFORE, AFTER)["spec"]["template"]["spec"]["containers"]
    assert container == {
        "name": "web",
        "image": "web:2",
        "env": [{"name": "SIZE", "value": "3"}, {"name": "LEVEL", "$patch": "delete"}],
        "tty": None,
    }


def test_there_and_back() -> None:
    for one, other in ((BEFORE, AFTER), (AFTER, BEFORE)):
        state = copy.deepcopy(one)
        merge(state, patch(one, other), strategic=True)
        containers = state["spec"]["template"]["spec"]["containers"]
        wanted = other["spec"]["template"]["spec"]["containers"]
        for each in (*containers, *wanted):
            each["env"] = sorted(each.get("env", []), key=lambda variable: variable["name"])
        assert state == other
    assert patch(BEFORE, copy.deepcopy(BEFORE)) == {}


def test_lists_that_kubernetes_merges_by_other_keys_say_that_they_are_whole() -> None:
    one, other = deployment(ports=[{"containerPort": 1}]), deployment(ports=[{"containerPort": 2}])
    (container,) = patch(one, other)["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"containerPort": 2}, {"$patch": "replace"}]
    args = patch(deployment(args=["a"]), deployment(args=["b"]))
    assert args["spec"]["template"]["spec"]["containers"] == [{"name": "web", "args": ["b"]}]


def test_custom_resources_get_a_plain_merge_patch() -> None:
    def ring(*items: str) -> dict[str, Any]:
        env = [{"name": each} for each in items]
        return {"apiVersion": "shop.example/v1", "kind": "Ring", "spec": {"env": env}}

    assert patch(ring("a", "b"), ring("a"))["spec"] == {"env": [{"name": "a"}]}


def test_status_and_what_the_server_writes_do_not_count() -> None:
    live = {**copy.deepcopy(BEFORE), "status": {"replicas": 2}}
    live["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 3}
    assert patch(BEFORE, live) == {}
