"""What StuckVolume, Relocate and NodeLoss say before anything is done: words, targets, mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.addons.csi import ATTACHABLE
from harness.declare import load_declared
from harness.errors import UsageError
from harness.faults import NodeLoss, Relocate, StuckVolume
from harness.manifest.objects import Ref
from harness.manifest.subject_file import Role

WORKER = Role(ref=Ref.parse("Deployment/worker"))
DATABASE = Role(ref=Ref.parse("Service/db:5432"))


def workload(kind: str, name: str, *claims: str, **spec: Any) -> dict[str, Any]:
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app"}], "volumes": volumes},
            },
            **spec,
        },
    }


def claim(name: str, storage_class: str | None, namespace: str | None = "shop") -> dict[str, Any]:
    meta = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    spec = {"accessModes": ["ReadWriteOnce"]}
    if storage_class:
        spec["storageClassName"] = storage_class  # type: ignore[assignment]
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "db", "namespace": "shop"},
    "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]},
}


@pytest.mark.parametrize(
    ("objects", "state"),
    [
        ([workload("Deployment", "worker", "files"), claim("files", ATTACHABLE)], "supported"),
        (
            [workload("Deployment", "worker", "files"), claim("files", ATTACHABLE, None)],
            "supported",
        ),
        ([workload("Deployment", "worker", "files"), claim("files", "standard")], "unsupported"),
        ([workload("Deployment", "worker", "files"), claim("files", None)], "unsupported"),
        ([workload("Deployment", "worker"), claim("files", ATTACHABLE)], "unsupported"),
        (
            [workload("Deployment", "worker", "files"), claim("files", ATTACHABLE, "other")],
            "unsupported",
        ),
    ],
)
def test_a_stuck_volume_needs_a_claim_that_our_driver_serves(
    objects: list[dict[str, Any]], state: str
) -> None:
    support = StuckVolume("worker", delay="30s").target_support(WORKER, objects)
    assert support.state == state
    assert (ATTACHABLE in support.why) == (state == "unsupported")


def test_the_claims_of_a_stateful_set_behind_a_service_count() -> None:
    templates = [claim("data", ATTACHABLE, None)]
    objects = [workload("StatefulSet", "db", volumeClaimTemplates=templates), SERVICE]
    support = StuckVolume("database", delay="30s").target_support(DATABASE, objects)
    assert support.state == "supported"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "holds nothing"),
        ({"operation": "resize", "delay": "9s"}, "cannot hold 'resize'"),
        ({"delay": "1s"}, "cannot be told from a busy machine"),
    ],
)
def test_a_stuck_volume_that_makes_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StuckVolume("worker", **given)


def test_a_lost_node_in_a_mode_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="cannot be 'burnt'"):
        NodeLoss("worker", mode="burnt")  # type: ignore[arg-type]


def test_only_a_workload_can_be_relocated() -> None:
    objects = [workload("Deployment", "worker"), SERVICE, workload("StatefulSet", "db")]
    assert Relocate("worker").target_support(WORKER, objects).state == "supported"
    assert Relocate("database").target_support(DATABASE, objects).state == "unsupported"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (StuckVolume("worker", delay="30s"), "detach of the worker's volumes takes 30s"),
        (
            StuckVolume("worker", operation="mount", delay="9s", refuse="no"),
            'mount of the worker\'s volumes takes 9s and fails with "no"',
        ),
        (Relocate("worker"), "worker rolled out anew, off its present nodes"),
        (NodeLoss("worker"), "worker's node lost (paused)"),
    ],
)
def test_in_words_and_through_the_run_folder(fault: Any, words: str) -> None:
    assert fault.describe() == words
    assert load_declared("fault", fault.to_json()) == fault
