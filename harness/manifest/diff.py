"""Where two sets of objects differ, by field path, as a person would point at it.

`Deployment/checkout-api .spec.template.spec.containers[api].livenessProbe.httpGet.path: "/healthz"
-> "/healthz/live"`. List items are found by their key, not their position; what differs without a
meaning (the trial's suffix, the hash in a generated name, `1000m` against `1`) is no difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.manifest.objects import Object, name_of, namespace_of
from harness.units import UnitError, quantity

# The API's own merge keys (patchMergeKey, x-kubernetes-list-map-keys), best first.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ports": ("containerPort", "port", "name"),
    "rules": ("host",),
    "paths": ("path",),
    "subjects": ("name",),
    "tolerations": ("key",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeClaimTemplates": ("metadata.name",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "webhooks": ("name",),
}
# kustomize's hash of a generated ConfigMap or Secret: ten characters of its own alphabet.
_HASH = re.compile(r"-[bcdfghkmt2456789]{10}\b")
_QUANTITIES = frozenset({"capacity", "hard", "limits", "requests"})
_OWN_METADATA = frozenset(
    {"creationTimestamp", "generation", "managedFields", "namespace", "resourceVersion", "uid"}
)
_ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class Change:
    """One field that differs. `None` stands for a field or an object that one side does not have.

    `path` is empty where the whole object is on one side only.
    """

    object: str
    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        where = f"{self.object} {self.path}".strip()
        return f"{where}: {_shown(self.before)} -> {_shown(self.after)}"


def diff(
    before: Sequence[Object], after: Sequence[Object], *, trials: tuple[str, str] = ("", "")
) -> list[Change]:
    """Every difference, in the order of `before`; objects only in `after` come last.

    `trials` are the suffixes that isolation gave to either side's namespaces and names.
    """
    old = _by_identity(_without_suffix(before, trials[0]))
    new = _by_identity(_without_suffix(after, trials[1]))
    changes: list[Change] = []
    for identity, obj in old.items():
        if identity in new:
            changes += _compare(identity, "", _meaning(obj), _meaning(new[identity]))
        else:
            changes.append(Change(object=identity, path="", before="present", after=None))
    changes += [
        Change(object=identity, path="", before=None, after="present")
        for identity in new
        if identity not in old
    ]
    return changes


def _without_suffix(objects: Sequence[Object], trial: str) -> list[Object]:
    """Texts without the trial's suffix and without the hashes of generated names."""
    suffix = re.compile(rf"-{re.escape(trial)}(?![\w-])") if trial else None

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: clean(value) for key, value in node.items()}
        if isinstance(node, list):
            return [clean(value) for value in node]
        if isinstance(node, str):
            return _HASH.sub("", suffix.sub("", node) if suffix else node)
        return node

    return [clean(obj) for obj in objects]


def _by_identity(objects: Sequence[Object]) -> dict[str, Object]:
    """Objects by `Kind/name`, with the namespace in front where several have one of that name."""
    plain = [f"{obj['kind']}/{name_of(obj)}" for obj in objects]
    return {
        name if plain.count(name) == 1 else f"{namespace_of(obj)}/{name}": obj
        for name, obj in zip(plain, objects, strict=True)
    }


def _meaning(obj: Object) -> Object:
    """The object without what the cluster adds to it."""
    rest = {key: value for key, value in obj.items() if key != "status"}
    metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in _OWN_METADATA}
    return rest | {"metadata": metadata}


def _compare(obj: str, path: str, before: Any, after: Any, field: str = "") -> list[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            change
            for key in _joined(before, after)
            for change in _compare(
                obj,
                f"{path}{_segment(key)}",
                before.get(key, _ABSENT),
                after.get(key, _ABSENT),
                key if field not in _QUANTITIES else field,
            )
        ]
    if isinstance(before, list) and isinstance(after, list):
        return _compare_lists(obj, path, before, after, field)
    if before is _ABSENT or after is _ABSENT:
        return _one_sided(obj, path, before, after)
    if _same(before, after, field):
        return []
    return [Change(object=obj, path=path, before=before, after=after)]


def _one_sided(obj: str, path: str, before: Any, after: Any) -> list[Change]:
    """A field that only one side has; an empty value means the same as none."""
    present = after if before is _ABSENT else before
    if present in (None, {}, [], ""):
        return []
    absent_before = before is _ABSENT
    return [
        Change(
            object=obj,
            path=path,
            before=None if absent_before else before,
            after=after if absent_before else None,
        )
    ]


def _compare_lists(
    obj: str, path: str, before: list[Any], after: list[Any], field: str
) -> list[Change]:
    key = _list_key(field, before, after)
    if key is None:
        if before == after:
            return []
        if len(before) != len(after) or not all(isinstance(e, dict) for e in [*before, *after]):
            return [Change(object=obj, path=path, before=before, after=after)]
        pairs = zip(before, after, strict=True)
        return [
            change
            for index, (one, other) in enumerate(pairs)
            for change in _compare(obj, f"{path}[{index}]", one, other)
        ]
    old = {_at(item, key): item for item in before}
    new = {_at(item, key): item for item in after}
    return [
        change
        for name in _joined(old, new)
        for change in _compare(
            obj, f"{path}[{name}]", old.get(name, _ABSENT), new.get(name, _ABSENT)
        )
    ]


def _list_key(field: str, before: list[Any], after: list[Any]) -> str | None:
    """The key that tells the items of both lists apart, if there is one."""
    for key in (*_KEYS.get(field, ()), "name"):
        if all(
            values and None not in values and len(set(values)) == len(values)
            for values in ([_at(item, key) for item in side] for side in (before, after) if side)
        ):
            return key
    return None


def _at(item: Any, key: str) -> Any:
    for part in key.split("."):
        item = item.get(part) if isinstance(item, dict) else None
    return item if isinstance(item, str | int) else None


def _same(before: Any, after: Any, field: str) -> bool:
    if type(before) is type(after) and before == after:
        return True
    if field not in _QUANTITIES:
        return bool(before == after and not isinstance(before, bool) ^ isinstance(after, bool))
    try:
        return quantity(before) == quantity(after)
    except UnitError:
        return False


def _joined(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> list[Any]:
    """Keys of both in the order of `before`, then those that only `after` has."""
    return list(dict.fromkeys([*before, *after]))


def _segment(key: str) -> str:
    return f".{key}" if re.fullmatch(r"[\w-]+", key) else f'["{key}"]'


def _shown(value: Any) -> str:
    return "(absent)" if value is None else json.dumps(value, ensure_ascii=False)
