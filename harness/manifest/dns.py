"""Where the name of a namespace or of a cluster-scoped object stands inside other objects.

Structured references (a `namespace` key, a RoleBinding's subject, `storageClassName`) and texts
(`checkout-db.shop.svc.cluster.local` in an environment variable). Which names change, and to what,
is decided in `harness.manifest.isolation`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from harness.manifest.objects import Object

_NAME_LABEL = "kubernetes.io/metadata.name"
_LABEL_MAPS = frozenset({"labels", "matchLabels", "nodeSelector", "selector"})
_NAMESPACE_KEYS = frozenset({"matchNames", "namespace", "namespaces"})
# Keys whose values identify something and never hold an address.
_NO_TEXT = frozenset({"apiVersion", "image", "kind", "generateName"})
_CLASS_KEYS = {
    "ingressClassName": "IngressClass",
    "persistentVolumeName": "PersistentVolume",
    "policyName": "ValidatingAdmissionPolicy",
    "priorityClassName": "PriorityClass",
    "runtimeClassName": "RuntimeClass",
    "storageClassName": "StorageClass",
    "volumeName": "PersistentVolume",
}
_OLD_CLASS_ANNOTATIONS = {
    "kubernetes.io/ingress.class": "IngressClass",
    "volume.beta.kubernetes.io/storage-class": "StorageClass",
}
_NAMESPACE_OPTION = re.compile(r"-n|--?[\w-]*namespaces?")
_NAMESPACE_VARIABLE = re.compile(r"(^|_)NAMESPACES?$", re.IGNORECASE)


class Renaming:
    """Applies new names to objects, and to the texts inside their values.

    `namespaces` maps old to new; `services` are the known (name, namespace) pairs; `names` maps
    (kind, name) of cluster-scoped objects to their new name.
    """

    def __init__(
        self,
        *,
        namespaces: Mapping[str, str],
        services: frozenset[tuple[str, str]],
        names: Mapping[tuple[str, str], str],
    ) -> None:
        self._namespaces = namespaces
        self._names = names
        self._patterns = [
            (pattern, old)
            for old in namespaces
            for pattern in _patterns(old, sorted(name for name, where in services if where == old))
        ]

    def apply(self, obj: Object) -> Object:
        """The object with every name replaced; its own name and namespace too."""
        kind = obj["kind"]
        changed: Object = self._mapping(obj, "")
        if kind == "Secret" and obj.get("data"):
            changed["data"] = {key: self._encoded(value) for key, value in obj["data"].items()}
        metadata = changed["metadata"]
        name = metadata.get("name", "")
        metadata["name"] = (
            self._namespace(name) if kind == "Namespace" else self._names.get((kind, name), name)
        )
        annotations = metadata.get("annotations") or {}
        for annotation, what in _OLD_CLASS_ANNOTATIONS.items():
            if annotation in annotations:
                old = annotations[annotation]
                annotations[annotation] = self._names.get((what, old), old)
        return changed

    def _walk(self, node: Any, key: str) -> Any:
        if isinstance(node, dict):
            return self._mapping(node, key)
        if isinstance(node, list):
            return self._list(node, key)
        if not isinstance(node, str) or key in _NO_TEXT:
            return node
        if key in _NAMESPACE_KEYS:
            return self._namespace(node)
        if key in _CLASS_KEYS:
            return self._names.get((_CLASS_KEYS[key], node), node)
        return self._text(node)

    def _mapping(self, node: Object, key: str) -> Object:
        if key in _LABEL_MAPS and not {"matchLabels", "matchExpressions"} & node.keys():
            renamed = node.get(_NAME_LABEL)
            return node | ({_NAME_LABEL: self._namespace(renamed)} if renamed else {})
        if node.get("key") == _NAME_LABEL and isinstance(node.get("values"), list):
            return node | {"values": [self._namespace(each) for each in node["values"]]}
        out = {each: self._walk(value, each) for each, value in node.items()}
        kind = "PriorityLevelConfiguration" if key == "priorityLevelConfiguration" else ""
        reference = (kind or str(node.get("kind")), str(node.get("name")))
        if reference in self._names:
            out["name"] = self._names[reference]
        if isinstance(node.get("value"), str) and _NAMESPACE_VARIABLE.search(str(node.get("name"))):
            out["value"] = self._listed(node["value"])
        return out

    def _list(self, nodes: list[Any], key: str) -> list[Any]:
        """Items one by one; in a command line, `--namespace` or `-n` speaks of the next item."""
        out: list[Any] = []
        for each in nodes:
            follows = key in {"args", "command"} and out and isinstance(out[-1], str)
            if follows and isinstance(each, str) and _NAMESPACE_OPTION.fullmatch(out[-1]):
                out.append(self._listed(each))
            else:
                out.append(self._walk(each, key))
        return out

    def _text(self, text: str) -> str:
        for pattern, old in self._patterns:
            text = pattern.sub(rf"\g<1>{self._namespaces[old]}", text)
        return text

    def _encoded(self, value: str) -> str:
        """A Secret's base64 value with the text inside renamed; binary values stay."""
        try:
            text = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return value
        new = self._text(text)
        return value if new == text else base64.b64encode(new.encode()).decode()

    def _listed(self, text: str) -> str:
        return self._text(",".join(self._namespace(each) for each in text.split(",")))

    def _namespace(self, name: str) -> str:
        return self._namespaces.get(name, name)


def _patterns(namespace: str, services: list[str]) -> list[re.Pattern[str]]:
    """Texts in which a namespace's name can only mean the namespace; group 1 stands before it."""
    name = re.escape(namespace)
    ends = r"(?![\w.-])"
    found = [
        rf"((?<![\w-])){name}(?=\.(?:svc|pod)(?![\w-]))",
        rf"(\bsystem:serviceaccounts?:){name}{ends}",
        rf"(\bnamespaces?[\"']?\s*[:=]\s*[\"']?|--[\w-]*namespaces?\s+|(?<!\S)-n\s+){name}{ends}",
    ]
    if services:
        # <service>.<namespace> alone could be any host name, so only known Services count, and
        # no further label may follow.
        known = "|".join(map(re.escape, services))
        found.append(rf"((?<![\w-])(?:{known})\.){name}(?![\w-]|\.\w)")
    return [re.compile(pattern) for pattern in found]
