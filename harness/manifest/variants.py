"""What a variant is: layers over a subject's manifests, each as one generated kustomization.

The pure half: which files make up a base, and the kustomizations that join it with what lies over
it. Running kustomize is in `harness.images.render`; giving the result its own namespaces is in
`harness.manifest.isolation`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import ManifestError
from harness.manifest.objects import Object, Ref, metadata, name_of, namespace_of
from harness.manifest.yaml import dump_all

KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")
ORIGIN = "config.kubernetes.io/origin"
_HOOK = "helm.sh/hook"
_HOOKS_OF_AN_INSTALL = frozenset({"pre-install", "post-install", "pre-upgrade", "post-upgrade"})


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What lies over a subject's manifests in one variant, from below.

    `component` is the folder of a kustomize component. Every document of `files` is merged into the
    object of its name or, where there is none, added. `release` are such files, too; they are
    applied when the fault is injected.
    """

    component: Path | None = None
    files: tuple[Path, ...] = ()
    release: tuple[Path, ...] = ()


def split(
    documents: Sequence[Object], objects: Sequence[Object]
) -> tuple[list[Object], list[Object]]:
    """(patches of what is there, objects to add) of a layer's documents."""
    patches = [doc for doc in documents if any(_meant(doc).names(obj) for obj in objects)]
    return patches, [doc for doc in documents if doc not in patches]


def merged(resource: str, patches: Sequence[Object]) -> Object:
    """The kustomization that merges documents into the objects of one file, each by its name."""
    targets = [{"kind": each.kind, "name": re.escape(each.name)} for each in map(_meant, patches)]
    for target, patch in zip(targets, patches, strict=True):
        if namespace := namespace_of(patch):
            target["namespace"] = namespace
    return kustomization([resource]) | {
        "patches": [
            {"target": target, "patch": dump_all([patch])}
            for target, patch in zip(targets, patches, strict=True)
        ]
    }


def _meant(document: Object) -> Ref:
    return Ref(str(document["kind"]), name_of(document), namespace_of(document))


def kustomization(resources: Sequence[str], components: Sequence[str] = ()) -> Object:
    """The document that joins a base and a variant; paths are relative to where it will stand.

    It asks for origin annotations, so that an error can name the file that an object came from.
    """
    document: Object = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(resources),
        "buildMetadata": ["originAnnotations"],
    }
    return document | ({"components": list(components)} if components else {})


def kind_of_folder(names: Sequence[str], folder: str) -> Literal["kustomization", "plain"]:
    """How a manifests folder is read, from the relative paths of all files in it.

    Raises `ManifestError` for a Helm chart, for a folder that only holds several kustomizations,
    and for one without any manifest.
    """
    if any(name in KUSTOMIZATION_FILES for name in names):
        return "kustomization"
    if "Chart.yaml" in names:
        raise ManifestError(
            f"{folder} is a Helm chart",
            remedy=f"render it first: helm template my-release {folder} > rendered.yaml, and name "
            "rendered.yaml in subject.manifests",
        )
    nested = sorted(
        name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in KUSTOMIZATION_FILES
    )
    if nested:
        raise ManifestError(
            f"{folder} has no kustomization of its own, but {', '.join(nested)} have",
            remedy=f'name the one that ships in subject.manifests, such as "{folder}/{nested[-1]}"',
        )
    if not any(name.endswith(MANIFEST_SUFFIXES) for name in names):
        raise ManifestError(
            f"{folder} holds no manifest",
            remedy="name a folder with YAML files or a kustomization in subject.manifests",
        )
    return "plain"


def without_uninstallable(objects: Sequence[Object]) -> tuple[list[Object], tuple[str, ...]]:
    """Objects that an installation creates, and a note for each one left out.

    `helm template` also prints the hooks for tests, deletion and rollback; applying those would run
    them.
    """
    kept, notes = [], []
    for obj in objects:
        hook = (metadata(obj).get("annotations") or {}).get(_HOOK)
        hooks = {each.strip() for each in str(hook).split(",")} if hook else set()
        if hooks and not hooks & _HOOKS_OF_AN_INSTALL:
            name = metadata(obj).get("name")
            notes.append(f"{obj['kind']}/{name} left out: it is the Helm hook {hook}")
        else:
            kept.append(obj)
    return kept, tuple(notes)


# Earlier ones first, so that nothing is refused for want of something that comes later: policies
# before pods, and webhooks last because they judge everything that follows.
_ORDER = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "CSIDriver",
    "IngressClass",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "PodDisruptionBudget",
)
_LAST = (
    "HorizontalPodAutoscaler",
    "Ingress",
    "APIService",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)


def apply_order(objects: Sequence[Object]) -> list[Object]:
    """The order in which to create objects; otherwise as given."""

    def rank(obj: Object) -> int:
        kind = obj.get("kind")
        if kind in _ORDER:
            return _ORDER.index(kind) - len(_ORDER)
        return 1 + _LAST.index(kind) if kind in _LAST else 0

    return sorted(objects, key=rank)
