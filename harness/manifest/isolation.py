"""Giving a trial namespaces and cluster-scoped names of its own: `<name>-<trial>`.

Pure: objects in, renamed copies out, and why a trial must have the cluster to itself where renaming
is not enough. The texts that are renamed inside values are in
`harness.manifest.dns`; creating and deleting namespaces is the trial's business.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import ManifestError
from harness.manifest.dns import Renaming
from harness.manifest.objects import (
    Object,
    Ref,
    containers,
    metadata,
    name_of,
    namespace_of,
    pod_spec,
    ref_of,
)

MAX_NAME = 63
SHARED_NAMESPACES = frozenset({"kube-node-lease", "kube-public", "kube-system"})
"""Namespaces that belong to the cluster: an object in one of them cannot move."""

# Cluster-scoped kinds whose objects may get another name, because every use of the name is known
# (see `harness.manifest.dns`).
RENAMED_KINDS = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "FlowSchema",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)
# Cluster-scoped kinds whose name is what they are.
FIXED_KINDS = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterTrustBundle",
        "CustomResourceDefinition",
        "DeviceClass",
        "GatewayClass",
        "IPAddress",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "Node",
        "ResourceSlice",
        "ServiceCIDR",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)
CLUSTER_SCOPED = RENAMED_KINDS | FIXED_KINDS | {"Namespace"}
_JUDGING = frozenset(
    {
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)
_DEFAULT_MARKS = (
    "ingressclass.kubernetes.io/is-default-class",
    "storageclass.kubernetes.io/is-default-class",
)


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """A trial's own objects.

    `namespaces` maps each namespace as written to the trial's; `names` does so for cluster-scoped
    objects. `exclusive` says that the trial must not share its cluster, `why` for which objects.
    """

    objects: list[Object]
    namespaces: Mapping[str, str]
    names: Mapping[Ref, str]
    exclusive: bool
    why: tuple[str, ...]


def isolate(objects: Sequence[Object], *, trial: str, default_namespace: str) -> Isolation:
    """Rename namespaces and cluster-scoped objects, and every reference to them.

    Objects without a namespace get `default_namespace`, which is always among the trial's. Each of
    these gets a Namespace object if the manifests have none. Raises `ManifestError` where a name
    becomes too long.
    """
    cluster_scoped = CLUSTER_SCOPED | _cluster_scoped_resources(objects)
    placed = [_placed(obj, default_namespace, cluster_scoped) for obj in objects]
    namespaces = {
        old: _suffixed(old, trial, "namespace")
        for old in _namespaces(placed, default_namespace)
        if old not in SHARED_NAMESPACES
    }
    names = {
        ref_of(obj): _suffixed(name_of(obj), trial, obj["kind"], longest=253)
        for obj in placed
        if obj["kind"] in RENAMED_KINDS and not name_of(obj).startswith("system:")
    }
    renaming = Renaming(
        namespaces=namespaces,
        services=frozenset(
            (name_of(obj), str(namespace_of(obj))) for obj in placed if obj["kind"] == "Service"
        ),
        names={(ref.kind, ref.name): new for ref, new in names.items()},
    )
    moved = [renaming.apply(obj) for obj in placed]
    present = {name_of(obj) for obj in moved if obj["kind"] == "Namespace"}
    made = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": new}}
        for new in namespaces.values()
        if new not in present
    ]
    why = tuple(
        dict.fromkeys(
            reason
            for obj in placed
            for reason in _reasons(obj, cluster_scoped, frozenset(namespaces))
        )
    )
    return Isolation(
        objects=made + moved,
        namespaces=namespaces,
        names=names,
        exclusive=bool(why),
        why=why,
    )


def _cluster_scoped_resources(objects: Iterable[Object]) -> frozenset[str]:
    return frozenset(
        obj["spec"]["names"]["kind"]
        for obj in objects
        if obj["kind"] == "CustomResourceDefinition" and obj["spec"].get("scope") == "Cluster"
    )


def _placed(obj: Object, default: str, cluster_scoped: frozenset[str]) -> Object:
    placed = copy.deepcopy(obj)
    if obj["kind"] in cluster_scoped:
        metadata(placed).pop("namespace", None)
    elif not namespace_of(obj):
        placed.setdefault("metadata", {})["namespace"] = default
    return placed


def _namespaces(objects: Iterable[Object], default: str) -> list[str]:
    written = [name_of(obj) if obj["kind"] == "Namespace" else namespace_of(obj) for obj in objects]
    return list(dict.fromkeys([default, *(name for name in written if name)]))


def _suffixed(name: str, trial: str, what: str, longest: int = MAX_NAME) -> str:
    new = f"{name}-{trial}"
    if len(new) > longest:
        raise ManifestError(
            f'{what} "{name}" becomes "{new}", which has more than {longest} characters',
            remedy=f"shorten the name to {longest - len(trial) - 1} characters or fewer",
        )
    return new


def _reasons(
    obj: Object, cluster_scoped: frozenset[str], namespaces: frozenset[str]
) -> Iterable[str]:
    """Why an object touches more than its own namespaces, however it is named."""
    kind, name = obj["kind"], name_of(obj)
    what = f"{kind}/{name}"
    if namespace_of(obj) in SHARED_NAMESPACES:
        yield f"{what} belongs into namespace {namespace_of(obj)}, which the whole cluster shares"
    if kind == "Namespace" and name in SHARED_NAMESPACES:
        yield f"{what} is shared by the whole cluster"
    if kind in cluster_scoped - RENAMED_KINDS - {"Namespace"} or name.startswith("system:"):
        yield f"{what} has effect under its own name only, in the whole cluster"
    if kind in _JUDGING and not _judges_only(obj, namespaces):
        yield f"{what} judges the objects of every namespace"
    annotations = metadata(obj).get("annotations") or {}
    if obj.get("globalDefault") or any(annotations.get(m) == "true" for m in _DEFAULT_MARKS):
        yield f"{what} is a default for the whole cluster"
    if kind == "Service":
        for port in (obj.get("spec") or {}).get("ports") or []:
            if port.get("nodePort"):
                yield f"{what} takes node port {port['nodePort']} on every node"
    if kind == "Ingress":
        for rule in (obj.get("spec") or {}).get("rules") or []:
            yield f"{what} claims host {rule.get('host', '*')} of the cluster's entry"
    yield from _pod_reasons(obj, what)


def _pod_reasons(obj: Object, what: str) -> Iterable[str]:
    spec = pod_spec(obj) or {}
    if spec.get("hostNetwork"):
        yield f"{what} uses the network of its node (hostNetwork)"
    for container in containers(obj):
        for port in container.get("ports") or []:
            if port.get("hostPort"):
                yield f"{what} takes host port {port['hostPort']} of its node"
    for volume in spec.get("volumes") or []:
        if volume.get("hostPath"):
            yield f"{what} uses {volume['hostPath'].get('path')} of its node (hostPath)"


def _judges_only(obj: Object, namespaces: frozenset[str]) -> bool:
    """Whether a webhook or policy binding is confined to namespaces of the subject, by name."""
    if obj["kind"] == "ValidatingAdmissionPolicyBinding":
        rules = [(obj.get("spec") or {}).get("matchResources") or {}]
    else:
        rules = obj.get("webhooks") or []
    return all(_only_in(rule.get("namespaceSelector") or {}, namespaces) for rule in rules)


def _only_in(selector: Mapping[str, object], namespaces: frozenset[str]) -> bool:
    key = "kubernetes.io/metadata.name"
    labels = selector.get("matchLabels") or {}
    if isinstance(labels, Mapping) and labels.get(key) in namespaces:
        return True
    expressions = selector.get("matchExpressions")
    return isinstance(expressions, list) and any(
        each.get("key") == key
        and each.get("operator") == "In"
        and set(each.get("values") or []) <= namespaces
        for each in expressions
    )
