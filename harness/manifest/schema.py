"""Objects against Kubernetes' own schemas, offline: unknown kinds, wrong fields, wrong types.

The schemas come with the package kubernetes-validate, one set for each release; its strict set
refuses unknown fields. What schemas cannot say is in `harness.manifest.validate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from kubernetes_validate.utils import (  # type: ignore[import-untyped]
    all_versions,
    schema_contents,
)
from referencing import Registry, Resource

from harness.manifest.objects import Object, did_you_mean

_BASE = "https://kubernetes.io/api/_definitions.json"


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """One field that the API would refuse: its path, what is wrong, what to write."""

    path: str
    message: str
    remedy: str


@dataclass(frozen=True)
class _Schemas:
    version: str
    kinds: dict[tuple[str, str], str]
    """(apiVersion, kind) to the name of its definition."""
    registry: Registry[Any]

    def validator(self, definition: str) -> Draft202012Validator:
        reference = {"$ref": f"{_BASE}#/$defs/{definition}"}
        return Draft202012Validator(reference, registry=self.registry)


def nearest_version(version: str) -> str:
    """The newest release with schemas that is not newer than `version` ("1.36", "v1.36.3")."""
    wanted = _number(version)
    known: list[str] = all_versions()
    fitting = [each for each in known if _number(each) <= wanted]
    return (fitting or known[:1])[-1]


def _number(version: str) -> tuple[int, int]:
    major, minor, *_ = version.removeprefix("v").split(".")
    return int(major), int(minor)


@lru_cache(maxsize=2)
def _schemas(version: str) -> _Schemas:
    name = f"kubernetes-json-schema/v{version}-local-strict/_definitions.json"
    content = schema_contents(name, version)
    kinds = {}
    for definition, schema in content["$defs"].items():
        for each in schema.get("x-kubernetes-group-version-kind", []):
            group = f"{each['group']}/" if each["group"] else ""
            kinds[f"{group}{each['version']}", each["kind"]] = definition
    registry: Registry[Any] = Registry().with_resource(_BASE, Resource.from_contents(content))
    return _Schemas(version, kinds, registry)


def misfits(obj: Object, *, version: str, custom: Iterable[tuple[str, str]] = ()) -> list[Misfit]:
    """What the API server of that release would not accept in one object.

    `custom` are the (apiVersion, kind) that the subject's own definitions add; their fields are not
    checked.
    """
    schemas = _schemas(nearest_version(version))
    asked = (str(obj.get("apiVersion")), str(obj.get("kind")))
    if asked in set(custom):
        return []
    if asked not in schemas.kinds:
        return [_unknown_kind(asked, schemas)]
    found = schemas.validator(schemas.kinds[asked]).iter_errors(obj)
    return [misfit for error in found for misfit in _misfits(error, obj)]


def _unknown_kind(asked: tuple[str, str], schemas: _Schemas) -> Misfit:
    api_version, kind = asked
    elsewhere = sorted(version for version, known in schemas.kinds if known == kind)
    release = ".".join(schemas.version.split(".")[:2])
    if elsewhere:
        return Misfit(
            path=".apiVersion",
            message=f"Kubernetes {release} has no {kind} in {api_version}",
            remedy=f"write apiVersion: {elsewhere[0]}",
        )
    guess = did_you_mean(kind, {known for _, known in schemas.kinds}, likeness=0.75)
    return Misfit(
        path=".kind",
        message=f"Kubernetes {release} knows no kind {kind} ({api_version})",
        remedy=guess
        or "add its CustomResourceDefinition (and controller) to the manifests, or "
        "leave the object out of what the harness runs",
    )


def _misfits(error: ValidationError, obj: Object) -> Iterator[Misfit]:
    path = field_path(obj, list(error.absolute_path))
    value: Any = error.instance
    schema: Any = error.schema
    demanded: Any = error.validator_value
    if error.validator == "additionalProperties":
        known = schema.get("properties", {})
        for key in sorted(set(value) - set(known)):
            guess = did_you_mean(key, known)
            yield Misfit(
                path=f"{path}.{key}",
                message="no such field",
                remedy=guess or f"remove it; fields here: {_some(known)}",
            )
    elif error.validator == "required":
        missing = [each for each in demanded if each not in value]
        yield Misfit(
            path=path, message=f"{', '.join(missing)} is missing", remedy=f"add {missing[0]}"
        )
    elif error.validator == "type":
        wanted = [each for each in _listed(demanded) if each != "null"]
        yield Misfit(
            path=path,
            message=f"{value!r} is not of type {' or '.join(wanted)}",
            remedy=f'put it in quotes: "{_scalar(value)}"'
            if wanted == ["string"] and not isinstance(value, dict | list)
            else f"write a value of type {wanted[0]}",
        )
    elif error.validator in {"oneOf", "anyOf"} and error.context:
        inner = best_match(error.context)
        kinds = sorted({str(t) for each in error.context for t in _listed(each.validator_value)})
        wanted = [each for each in kinds if each != "null"]
        if inner is not None and len(inner.absolute_path) > len(error.absolute_path):
            yield from _misfits(inner, obj)
        else:
            yield Misfit(
                path=path,
                message=f"{value!r} is not of type {' or '.join(wanted)}",
                remedy=f"write a value of type {' or '.join(wanted)}",
            )
    else:
        yield Misfit(path=path, message=error.message, remedy="correct the value")


def field_path(obj: Object, path: Sequence[str | int]) -> str:
    """A field path in which list items are called by their name: `.spec.containers[api].image`."""
    text = ""
    node: Any = obj
    for part in path:
        node = node[part]
        if isinstance(part, int):
            name = node.get("name") if isinstance(node, dict) else None
            text += f"[{name or part}]"
        else:
            text += f".{part}"
    return text


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [str(value)]


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _some(known: Iterable[str], most: int = 12) -> str:
    names = sorted(known)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
