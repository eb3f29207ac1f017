from __future__ import annotations

import random
from typing import Any

import pytest
import yaml

from harness.manifest.variants import apply_order, kind_of_folder, kustomization, merged, split

KINDS = [
    "ValidatingWebhookConfiguration",
    "Deployment",
    "Service",
    "Secret",
    "NetworkPolicy",
    "Ring",
    "CustomResourceDefinition",
    "Namespace",
    "HorizontalPodAutoscaler",
]


def test_what_others_need_comes_first_and_what_judges_others_last() -> None:
    shuffled = list(KINDS)
    random.Random(3).shuffle(shuffled)
    ordered = [obj["kind"] for obj in apply_order([{"kind": kind} for kind in shuffled])]
    assert ordered[:2] == ["Namespace", "CustomResourceDefinition"]
    assert ordered[-1] == "ValidatingWebhookConfiguration"
    for earlier, later in [
        ("NetworkPolicy", "Deployment"),
        ("Secret", "Deployment"),
        ("Service", "Deployment"),
        ("CustomResourceDefinition", "Ring"),
        ("Deployment", "HorizontalPodAutoscaler"),
    ]:
        assert ordered.index(earlier) < ordered.index(later)


def test_order_is_otherwise_as_given() -> None:
    objects = [{"kind": "Deployment", "n": number} for number in range(5)]
    assert apply_order(objects) == objects


def test_kustomization_joins_base_and_component() -> None:
    document = kustomization(["../base"], ["../variant"])
    assert document["resources"] == ["../base"]
    assert document["components"] == ["../variant"]
    assert "components" not in kustomization(["../base"])


def test_a_document_patches_what_has_its_name_and_is_added_where_nothing_has() -> None:
    def named(kind: str, name: str, **metadata: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}

    base = [named("Service", "web", namespace="shop"), named("ConfigMap", "web", namespace="shop")]
    patch, elsewhere = named("Service", "web"), named("ConfigMap", "web", namespace="test")
    new = named("Service", "api.v2")
    assert split([patch, elsewhere, new], base) == ([patch], [elsewhere, new])
    document = merged(
        "objects.yaml", [patch, new | {"metadata": {"namespace": "a", "name": "v.2"}}]
    )
    assert document["resources"] == ["objects.yaml"]
    assert [each["target"] for each in document["patches"]] == [
        {"kind": "Service", "name": "web"},
        {"kind": "Service", "name": r"v\.2", "namespace": "a"},
    ]
    assert yaml.safe_load(document["patches"][0]["patch"]) == patch


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["kustomization.yaml", "a.yaml"], "kustomization"),
        (["Kustomization"], "kustomization"),
        (["a.yaml", "deep/b.yml"], "plain"),
        (["a.json", "README.md"], "plain"),
    ],
)
def test_kinds_of_folders(names: list[str], kind: str) -> None:
    assert kind_of_folder(names, "deploy") == kind
