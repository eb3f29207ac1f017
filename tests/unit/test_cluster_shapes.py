"""Shapes and their rendered kind configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from harness.cluster import shapes
from harness.cluster.shapes import SHAPES, EntryPort
from harness.declare import Shape
from harness.errors import UsageError
from harness.nodes import audit

PORTS = [EntryPort(node_port=30000, host_port=41000), EntryPort(node_port=30001, host_port=41001)]


def rendered(name: str, **more: Any) -> dict[str, Any]:
    text = shapes.render(
        SHAPES[name],
        cluster="shop",
        api_port=40999,
        entry_ports=PORTS,
        node_folder=Path("/state of mine/shop/node"),
        certs_folder=Path("/state of mine/shop/certs.d"),
        volumes_folder=Path("/state of mine/shop/volumes"),
        **more,
    )
    config: dict[str, Any] = yaml.safe_load(text)
    return config


@pytest.mark.parametrize("name", list(SHAPES))
def test_rendered_nodes_are_those_that_the_shape_names(name: str) -> None:
    roles = [node["role"] for node in rendered(name)["nodes"]]
    assert roles == [role for _, role in SHAPES[name].nodes("shop")]


@pytest.mark.parametrize("name", list(SHAPES))
def test_every_node_mounts_the_files_that_its_config_names(name: str) -> None:
    for node in rendered(name)["nodes"]:
        mounts = {mount["containerPath"]: mount["hostPath"] for mount in node["extraMounts"]}
        assert mounts == {
            "/etc/harness": "/state of mine/shop/node",
            "/etc/containerd/certs.d": "/state of mine/shop/certs.d",
            "/var/lib/harness-volumes": "/state of mine/shop/volumes",
        }


@pytest.mark.parametrize("name", list(SHAPES))
def test_entry_ports_are_on_the_first_control_plane_and_on_127_0_0_1_only(name: str) -> None:
    first, *others = rendered(name)["nodes"]
    mapped = [(port["containerPort"], port["hostPort"]) for port in first["extraPortMappings"]]
    assert mapped == [(30000, 41000), (30001, 41001)]
    assert {port["listenAddress"] for port in first["extraPortMappings"]} == {"127.0.0.1"}
    assert all("extraPortMappings" not in node for node in others)


def test_patches_keep_kubernetes_timers_at_their_defaults() -> None:
    patches = {}
    for text in rendered("single")["kubeadmConfigPatches"]:
        patch = yaml.safe_load(text)
        patches[patch.pop("kind")] = patch
    assert patches["KubeletConfiguration"] == {"failCgroupV1": False}
    assert set(patches["ClusterConfiguration"]) == {"apiServer"}
    flags = patches["ClusterConfiguration"]["apiServer"]["extraArgs"]
    assert set(flags) == {
        "audit-policy-file",
        "audit-log-path",
        "audit-log-maxsize",
        "audit-log-maxbackup",
    }
    assert flags["audit-log-path"] == audit.PATH


def test_containerd_patches_arrive_unchanged() -> None:
    patch = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/x"\n'
    assert rendered("single", containerd_patches=[patch])["containerdConfigPatches"] == [patch]
    assert "containerdConfigPatches" not in rendered("single")


def test_nodes_are_named_as_kind_names_them() -> None:
    assert [name for name, _ in SHAPES["workers"].nodes("a")] == [
        "a-control-plane",
        "a-worker",
        "a-worker2",
        "a-worker3",
    ]


@pytest.mark.parametrize(
    ("asked", "smallest"),
    [
        ([], "single"),
        (["single"], "single"),
        (["workers", "single"], "workers"),
        (["single", "ha"], "ha"),
        (["workers", "ha"], "full"),
    ],
)
def test_the_smallest_shape_that_serves_all(asked: list[str], smallest: str) -> None:
    found = shapes.smallest(asked)
    assert found == smallest
    assert all(SHAPES[found].serves(SHAPES[each]) for each in asked)
    assert not SHAPES["single"].serves(SHAPES["workers"])


def test_shapes_are_those_that_a_scenario_can_ask_for_in_their_order() -> None:
    assert tuple(SHAPES) == get_args(Shape)


def test_unknown_shape_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no cluster shape 'tiny'") as caught:
        shapes.shape("tiny")
    assert "workers (one control plane, three workers)" in caught.value.remedy


def test_audit_policy_keeps_what_controllers_create() -> None:
    rules = yaml.safe_load(shapes.audit_policy())["rules"]
    # kube-controller-manager acts as one service account of kube-system for each controller.
    controllers = "system:serviceaccounts:kube-system"
    theirs = [rule for rule in rules if controllers in rule.get("userGroups", ())]
    create = next(
        r for r in theirs if "resources" not in r and "create" in r.get("verbs", ["create"])
    )
    assert create["level"] == "Metadata"


def test_audit_policy_never_writes_the_body_of_a_secret() -> None:
    rules = yaml.safe_load(shapes.audit_policy())["rules"]
    bodies = next(at for at, rule in enumerate(rules) if rule["level"] == "Request")
    secrets = next(
        at
        for at, rule in enumerate(rules)
        if any("secrets" in (each.get("resources") or []) for each in rule.get("resources", []))
    )
    assert rules[secrets]["level"] == "Metadata"
    assert secrets < bodies
    assert all(rule["level"] in ("None", "Metadata", "Request") for rule in rules)
