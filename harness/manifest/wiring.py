"""What an application's workloads are told by their settings: variables, arguments and files.

From these shows who calls whom, and with which credentials. Pure; guesses about roles are made of
it in `harness.manifest.guess`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.manifest.objects import (
    Object,
    Ref,
    containers,
    find_optional,
    name_of,
    namespace_of,
    pod_spec,
    service_workloads,
    workloads,
)


@dataclass(frozen=True)
class Variable:
    """A literal value, or a key of a Secret."""

    value: str | None = None
    secret: str | None = None
    key: str | None = None


def variables_of(objects: Sequence[Object], workload: Object) -> Iterator[tuple[str, Variable]]:
    """The environment of a workload's containers, by name."""
    for container in containers(workload):
        for source in container.get("envFrom") or []:
            config = (source.get("configMapRef") or {}).get("name")
            for key, value in _data(objects, workload, "ConfigMap", config).items():
                yield key, Variable(value)
            secret = (source.get("secretRef") or {}).get("name")
            for key in _data(objects, workload, "Secret", secret):
                yield key, Variable(secret=secret, key=key)
        for each in container.get("env") or []:
            source = each.get("valueFrom") or {}
            secret, config = source.get("secretKeyRef"), source.get("configMapKeyRef")
            if secret:
                yield each["name"], Variable(secret=secret.get("name"), key=secret.get("key"))
            elif config:
                data = _data(objects, workload, "ConfigMap", config.get("name"))
                yield each["name"], Variable(data.get(str(config.get("key"))))
            else:
                yield each["name"], Variable(each.get("value"))


def callers_of(objects: Sequence[Object], service: Object) -> list[Object]:
    """The workloads whose settings name a Service as a host, other than its own pods."""
    own = service_workloads(objects, service)
    name, namespace = re.escape(name_of(service)), re.escape(namespace_of(service) or "")
    host = re.compile(
        rf"(?:^|[\s/@=,;\"'(]){name}(?:\.{namespace or '[a-z0-9-]+'}[\w.]*)?(?=$|[:/\s,;\"'?)&])"
    )
    return [
        obj
        for obj in workloads(objects)
        if not any(obj is each for each in own)
        and any(host.search(text) for text in _settings(objects, obj))
    ]


def _settings(objects: Sequence[Object], workload: Object) -> Iterator[str]:
    """Every text that a workload's containers are started with: environment, arguments, files."""
    for _, variable in variables_of(objects, workload):
        if variable.secret:
            yield _data(objects, workload, "Secret", variable.secret).get(str(variable.key), "")
        yield variable.value or ""
    for container in containers(workload):
        yield from map(str, [*(container.get("command") or []), *(container.get("args") or [])])
    for volume in (pod_spec(workload) or {}).get("volumes") or []:
        config = (volume.get("configMap") or {}).get("name")
        yield from _data(objects, workload, "ConfigMap", config).values()
        secret = (volume.get("secret") or {}).get("secretName")
        yield from _data(objects, workload, "Secret", secret).values()


def _data(objects: Sequence[Object], user: Object, kind: str, name: Any) -> dict[str, str]:
    """Texts of a ConfigMap or Secret beside the object that uses it."""
    found = find_optional(objects, Ref(kind, str(name), namespace_of(user))) if name else None
    if found is None:
        return {}
    data = {key: str(value) for key, value in (found.get("data") or {}).items()}
    if kind == "Secret":
        data = {key: _decoded(value) for key, value in data.items()} | (
            found.get("stringData") or {}
        )
    return data


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
