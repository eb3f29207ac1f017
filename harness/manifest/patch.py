"""The patch that leads from one state of an object to another, with nothing in it but what differs.

What stands beside a field may be a credential, and patches are kept in ledgers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.manifest.objects import Object

_MERGED_BY_NAME = frozenset(
    {"containers", "env", "ephemeralContainers", "initContainers", "volumes"}
)
"""Lists whose items are found by name, so that those which do not change need not be told."""
_MERGED = frozenset(
    {
        "conditions",
        "hostAliases",
        "imagePullSecrets",
        "ports",
        "secrets",
        "topologySpreadConstraints",
        "volumeDevices",
        "volumeMounts",
        "webhooks",
    }
)
"""Lists that Kubernetes merges by other keys, and that have to say so to be replaced whole."""


def is_strategic(obj: Object) -> bool:
    """Whether the API knows strategic merge patches for it: all kinds but custom ones."""
    group = str(obj["apiVersion"]).rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


def patch(before: Object, after: Object) -> Object:
    """The merge patch from `before` to `after`, strategic where `is_strategic` says so.

    Empty if nothing differs. Status and what the API server writes into metadata do not count.
    """
    return _fields(_declared(before), _declared(after), strategic=is_strategic(after))


def _declared(obj: Object) -> Object:
    meta = obj.get("metadata") or {}
    kept = {key: meta[key] for key in ("annotations", "labels") if meta.get(key)}
    return {**{k: v for k, v in obj.items() if k != "status"}, "metadata": kept}


def _fields(before: Object, after: Object, *, strategic: bool) -> Object:
    out: Object = {}
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            out[key] = _fields(dict(old), dict(new), strategic=strategic)
        elif strategic and isinstance(old, list) and isinstance(new, list):
            out[key] = _items(key, old, new)
        else:
            out[key] = new
    return out


def _items(key: str, old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    if key in _MERGED:
        return [*new, {"$patch": "replace"}]
    if key not in _MERGED_BY_NAME:
        return list(new)
    past, coming = ({each["name"]: each for each in items} for items in (old, new))
    gone = [{"name": name, "$patch": "delete"} for name in past if name not in coming]
    changed = [
        {"name": name, **_fields(past.get(name, {}), each, strategic=True)}
        for name, each in coming.items()
        if each != past.get(name)
    ]
    return [*changed, *gone]
