"""Records, names and handles of clusters."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import clusters
from harness.cluster.blueprint import free_ports, recipe
from harness.cluster.clusters import ClusterRecord
from harness.cluster.shapes import SHAPES
from harness.errors import ClusterError, UsageError


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))


def record(**changes: Any) -> ClusterRecord:
    given: dict[str, Any] = {
        "name": "shop",
        "shape": "workers",
        "phase": "ready",
        "created": datetime(2026, 1, 1, tzinfo=UTC),
        "nodes": [
            {"name": "shop-control-plane", "role": "control-plane"},
            {"name": "shop-worker", "role": "worker"},
        ],
        "entry_ports": [{"node_port": 30000, "host_port": 41000}],
        "recipe": "r",
        "uid": "u1",
        "versions": {
            "kubernetes": "v1.36.3",
            "containerd": "containerd 2.3.3",
            "kind": "v0.33.0",
            "node_image": "node:1",
        },
    }
    return ClusterRecord.model_validate({**given, **changes})


def test_what_is_saved_is_loaded() -> None:
    saved = record(merged_into=[Path("/home/me/.kube/config")])
    saved.save()
    assert clusters.load_record("shop") == saved
    assert clusters.recorded() == ["shop"]
    assert [file.name for file in clusters.folder("shop").iterdir()] == ["state.json"]


def test_no_record_is_none() -> None:
    assert clusters.load_record("shop") is None
    assert clusters.recorded() == []


def test_a_damaged_record_says_how_to_go_on() -> None:
    record().save()
    (clusters.folder("shop") / "state.json").write_text('{"name": "shop"')
    with pytest.raises(ClusterError, match="not a cluster's record") as caught:
        clusters.load_record("shop")
    assert "harness down --cluster shop" in caught.value.remedy


def test_the_handle_knows_its_entry_node_and_may_be_broken() -> None:
    cluster = record().cluster(None)
    assert cluster.entry_node.name == "shop-control-plane"
    assert cluster.context == "kind-shop"


def test_there_is_no_handle_on_a_cluster_that_was_never_finished() -> None:
    with pytest.raises(ClusterError, match="never finished"):
        record(phase="creating", versions=None).cluster(None)


@pytest.mark.parametrize("name", ["a", "harness", "shop-2", "x" * 36])
def test_names_that_can_be(name: str) -> None:
    assert clusters.valid_name(name) == name


@pytest.mark.parametrize("name", ["", "Shop", "-a", "a-", "a_b", "a/b", "../a", "a b", "x" * 37])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a cluster's name"):
        clusters.valid_name(name)


def test_the_recipe_changes_with_shape_and_image_only() -> None:
    same = recipe(SHAPES["single"], "node:1")
    assert recipe(SHAPES["single"], "node:1") == same
    assert recipe(SHAPES["workers"], "node:1") != same
    assert recipe(SHAPES["single"], "node:2") != same


def test_free_ports_are_different_and_can_be_bound() -> None:
    ports = free_ports(13)
    assert len(set(ports)) == 13
    assert all(1024 < port < 65536 for port in ports)


def test_default_kubeconfig_is_what_kubectl_reads_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/a/config:/b/config")
    assert clusters.default_kubeconfig() == Path("/a/config")
    monkeypatch.delenv("KUBECONFIG")
    assert clusters.default_kubeconfig() == Path.home() / ".kube" / "config"
