"""The sample subjects and the variants of their scenarios, as files: nothing is rendered here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import paths
from harness.manifest.objects import containers, find, name_of, pod_spec, pod_template, workloads
from harness.manifest.subject_file import SubjectFile
from harness.manifest.subject_reading import load_subject
from harness.units import quantity, quantity_bytes

SUBJECTS = ("checkout", "payment", "web")
RELEASES = {"checkout-api:1.1"}
"""Images that a scenario rolls out and no manifest names."""

CONTAINER = "spec.template.spec.containers"
DECIDING = {
    "liveness-checks-database": {f"{CONTAINER}.livenessProbe", f"{CONTAINER}.readinessProbe"},
    "liveness-hits-main-endpoint": {f"{CONTAINER}.livenessProbe", f"{CONTAINER}.readinessProbe"},
    "deadlock-without-liveness": {f"{CONTAINER}.livenessProbe"},
    "readiness-shared-dependency-blackout": {f"{CONTAINER}.readinessProbe"},
    "slow-start-without-startup-probe": {
        f"{CONTAINER}.livenessProbe",
        f"{CONTAINER}.startupProbe",
    },
    "oom-heap-preallocation": {f"{CONTAINER}.resources"},
    "rwo-multi-attach": {"spec.strategy", "spec.template.spec.volumes"},
}

IN_EVERY_VARIANT = {
    "oom-heap-preallocation": {"spec.progressDeadlineSeconds", f"{CONTAINER}.startupProbe"},
}
"""Fields that components set beside those, and all of them alike."""


def objects_of(subject: SubjectFile) -> list[dict[str, Any]]:
    found = []
    for folder in subject.subject.manifests:
        for file in sorted({*folder.glob("*.yaml")} - {folder / "kustomization.yaml"}):
            found += [o for o in yaml.safe_load_all(file.read_text()) if o]
    return found


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> SubjectFile:
    return load_subject(paths.apps() / request.param)


def test_every_image_is_built_and_every_build_is_used(subject: SubjectFile) -> None:
    used = {c["image"] for w in workloads(objects_of(subject)) for c in containers(w)}
    assert used == set(subject.build) - RELEASES


def test_roles_name_objects_that_exist(subject: SubjectFile) -> None:
    assert {"entry", "workload"} <= set(subject.roles)
    for role in subject.roles.values():
        find(objects_of(subject), role.ref)


@pytest.mark.parametrize("name", ["checkout", "payment"])
def test_the_database_role_can_be_asked(name: str) -> None:
    subject = load_subject(paths.apps() / name)
    role, objects = subject.role("database"), objects_of(subject)
    secret = next(o for o in objects if o["kind"] == "Secret" and name_of(o) == role.secret)
    assert {role.user_key, role.password_key} <= set(secret["stringData"])
    assert secret["stringData"][role.user_key] == role.dbname


def test_pods_fit_the_restricted_profile(subject: SubjectFile) -> None:
    for workload in workloads(objects_of(subject)):
        spec = pod_spec(workload)
        assert spec is not None
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        for container in containers(workload):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"]["drop"] == ["ALL"]
            assert security["readOnlyRootFilesystem"] is True


def test_selectors_match_the_pods_they_are_for(subject: SubjectFile) -> None:
    for workload in workloads(objects_of(subject)):
        template = pod_template(workload)
        assert template is not None
        wanted = workload["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= template["metadata"]["labels"].items()


def test_two_trials_fit_on_a_small_node(subject: SubjectFile) -> None:
    """Two cores, of which a kind control plane asks for 0.95 (kubeadm, CoreDNS, kindnet)."""
    cpu = memory = 0.0
    for workload in workloads(objects_of(subject)):
        for container in containers(workload):
            asked = container["resources"]["requests"]
            limits = container["resources"]["limits"]
            assert quantity_bytes(limits["memory"]) <= 1.5 * quantity_bytes(asked["memory"])
            cpu += float(quantity(asked["cpu"])) * workload["spec"]["replicas"]
            memory += quantity_bytes(asked["memory"]) * workload["spec"]["replicas"]
    assert 2 * cpu <= 1.0
    assert 2 * memory <= 2 * 1024**3


def test_the_admin_port_is_in_no_service(subject: SubjectFile) -> None:
    for service in (o for o in objects_of(subject) if o["kind"] == "Service"):
        assert {p["targetPort"] for p in service["spec"]["ports"]} <= {"http", "postgres"}


def leaves(patch: Any, path: str = "") -> Iterator[str]:
    """Paths that a strategic merge patch sets, cut at the fields that scenarios speak of."""
    stops = ("Probe", "resources", "strategy", "volumes")
    for key, value in patch.items():
        here = f"{path}.{key}".lstrip(".")
        if key.endswith(stops):
            yield here
        elif isinstance(value, dict):
            yield from leaves(value, here)
        elif isinstance(value, list):
            for item in value:
                yield from leaves({k: v for k, v in item.items() if k != "name"}, here)
        elif here not in ("apiVersion", "kind", "metadata.name"):
            yield here


@pytest.mark.parametrize("slug", sorted(DECIDING))
def test_variants_set_only_the_fields_of_their_row(slug: str) -> None:
    variants = sorted(
        p.parent for p in (paths.data("scenarios") / slug).glob("*/kustomization.yaml")
    )
    assert {"fragile", "hardened"} <= {v.name for v in variants}
    alike = IN_EVERY_VARIANT.get(slug, set())
    values: dict[str, list[Any]] = {field: [] for field in alike}
    for variant in variants:
        component = yaml.safe_load((variant / "kustomization.yaml").read_text())
        assert component["kind"] == "Component"
        for patch in component["patches"]:
            body = yaml.safe_load(patch["patch"])
            target = patch["target"]
            assert (target["kind"], target["name"]) == (body["kind"], body["metadata"]["name"])
            assert set(leaves(body)) <= DECIDING[slug] | alike
            spec = body["spec"]
            for field in alike:
                template = field.startswith(CONTAINER)
                where = spec["template"]["spec"]["containers"][0] if template else spec
                values[field].append(where[field.rpartition(".")[2]])
    for field, found in values.items():
        assert found == found[:1] * len(variants), f"{field} differs between variants"


def test_both_variants_of_the_stuck_volume_claim_the_same() -> None:
    folder = paths.data("scenarios") / "rwo-multi-attach"
    claims = {Path(folder / v / "claim.yaml").read_text() for v in ("fragile", "hardened")}
    assert len(claims) == 1


def test_the_heap_of_the_story_keeps_its_proportions() -> None:
    """Heap : fragile request is about 8 : 1; the hardened limit is at least 1.33 x the heap."""
    args = load_subject(paths.apps() / "checkout").build["checkout-api:1.1"].args
    heap = int(args["HEAP_PREALLOCATE_MB"]) * 1_000_000
    whole = heap + int(args["NATIVE_OVERHEAD_MB"]) * 1_000_000

    def limit(variant: str) -> int:
        path = paths.data("scenarios") / "oom-heap-preallocation" / variant / "kustomization.yaml"
        patch = yaml.safe_load(yaml.safe_load(path.read_text())["patches"][0]["patch"])
        resources = patch["spec"]["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"], "Guaranteed"
        return quantity_bytes(resources["limits"]["memory"])

    assert 7 <= heap / limit("fragile") <= 8.5
    assert limit("hardened") >= 1.33 * heap
    assert limit("hardened") > 1.1 * whole
    assert heap < limit("seed-literal") < whole
