"""Whether manifests can be run at all, said before anything starts.

Schemas first (`harness.manifest.schema`), then what the API server would refuse or the pods would
stumble over without any fault: equal objects, selectors that miss their pods, mounts without a
volume; and whether the roles of `harness.toml` are there. Whether a configuration is wise is not
asked here: that is what trials are for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import ManifestError
from harness.manifest.objects import (
    Object,
    Ref,
    containers,
    find,
    find_optional,
    matches,
    metadata,
    name_of,
    pod_labels,
    pod_spec,
    pod_template_path,
    ref_of,
    service_port,
    service_workloads,
    target_port,
)
from harness.manifest.schema import misfits
from harness.manifest.subject_file import FILE, Role
from harness.units import UnitError, quantity

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_FREE_NAMES = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})
ENTRY = "entry"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: the object, the file it came from (if known), the field."""

    object: str
    source: str | None
    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.object} {self.path}".strip()
        return f"{f'{self.source}: ' if self.source else ''}{where}: {self.message}"


def check(
    objects: Sequence[Object],
    *,
    version: str,
    sources: Mapping[Ref, str] | None = None,
    roles: Mapping[str, Role] | None = None,
) -> None:
    """Raise one `ManifestError` with every problem; see `problems`."""
    found = problems(objects, version=version, sources=sources, roles=roles)
    if not found:
        return
    first = found[0]
    if len(found) == 1:
        raise ManifestError(str(first), remedy=first.remedy)
    lines = "".join(f"\n  {each}" for each in found)
    remedies = dict.fromkeys(
        f"\n    {each.object} {each.path}: {each.remedy}".replace(" :", ":") for each in found
    )
    raise ManifestError(
        f"the manifests have {len(found)} problems:{lines}", remedy="".join(remedies)
    )


def problems(
    objects: Sequence[Object],
    *,
    version: str,
    sources: Mapping[Ref, str] | None = None,
    roles: Mapping[str, Role] | None = None,
) -> list[Problem]:
    """Everything that keeps these objects from running on Kubernetes `version` ("1.36").

    `sources` names the file of each object, `roles` are those of `harness.toml` (with `None`, roles
    are not checked). References inside objects are checked only where the schema holds.
    """
    files = sources or {}
    custom = frozenset(_custom_kinds(objects))
    found: list[Problem] = []

    def add(obj: Object, path: str, message: str, remedy: str) -> None:
        ref = ref_of(obj)
        found.append(
            Problem(
                object=f"{ref.kind}/{ref.name}",
                source=files.get(ref),
                path=path,
                message=message,
                remedy=remedy,
            )
        )

    for obj in objects:
        misfit = None
        for misfit in misfits(obj, version=version, custom=custom):
            add(obj, misfit.path, misfit.message, misfit.remedy)
        if misfit is None:
            for path, message, remedy in _own_problems(obj):
                add(obj, path, message, remedy)
    for ref, times in Counter(map(ref_of, objects)).items():
        if times > 1:
            add(find_first(objects, ref), "", f"is there {times} times", "keep one of them")
    if not found and roles is not None:
        found += [
            Problem(object=f"role {name}", source=FILE, path="", message=message, remedy=remedy)
            for name, message, remedy in _role_problems(objects, roles)
        ]
    return found


def find_first(objects: Iterable[Object], ref: Ref) -> Object:
    return next(obj for obj in objects if ref_of(obj) == ref)


def _custom_kinds(objects: Iterable[Object]) -> Iterator[tuple[str, str]]:
    for obj in objects:
        if obj.get("kind") == "CustomResourceDefinition":
            spec = obj.get("spec") or {}
            for each in spec.get("versions") or []:
                kind = (spec.get("names") or {}).get("kind")
                yield f"{spec.get('group')}/{each.get('name')}", str(kind)


def _own_problems(obj: Object) -> Iterator[tuple[str, str, str]]:
    kind, name = obj["kind"], name_of(obj)
    if not name:
        had = "generateName" in metadata(obj)
        yield (
            ".metadata",
            "name is missing" + (" (generateName makes a new object at each apply)" if had else ""),
            "give the object a name",
        )
    elif kind not in _FREE_NAMES and not _NAME.fullmatch(name):
        yield (
            ".metadata.name",
            f'"{name}" is no name (lower-case letters, digits, "-" and ".")',
            "rename it",
        )
    selector = (obj.get("spec") or {}).get("selector")
    if kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"} and not matches(
        selector, pod_labels(obj)
    ):
        yield (
            ".spec.selector",
            "does not match the labels of its own pod template",
            "make .spec.selector.matchLabels and .spec.template.metadata.labels agree",
        )
    yield from _pod_problems(obj)


def _pod_problems(obj: Object) -> Iterator[tuple[str, str, str]]:
    spec = pod_spec(obj)
    if spec is None:
        return
    path = f"{pod_template_path(obj['kind'])}.spec"
    volumes = {each.get("name") for each in spec.get("volumes") or []}
    claims = (obj.get("spec") or {}).get("volumeClaimTemplates") or []
    volumes |= {name_of(each) for each in claims}
    for name, times in Counter(each.get("name") for each in containers(obj)).items():
        if times > 1:
            yield f"{path}.containers", f'{times} containers are called "{name}"', "rename one"
    for container in containers(obj):
        where = f"{path}.containers[{container.get('name')}]"
        if not container.get("image"):
            yield f"{where}.image", "is missing", "name the image to run"
        for mount in container.get("volumeMounts") or []:
            if mount.get("name") not in volumes:
                yield (
                    f"{where}.volumeMounts[{mount.get('mountPath')}]",
                    f'there is no volume "{mount.get("name")}"',
                    f"add it under {path}.volumes",
                )
        for list_name, values in (container.get("resources") or {}).items():
            if list_name not in {"limits", "requests"}:
                continue
            for resource, value in (values or {}).items():
                try:
                    quantity(value)
                except UnitError as error:
                    field = f"{where}.resources.{list_name}.{resource}"
                    yield field, error.message, error.remedy


def _role_problems(
    objects: Sequence[Object], roles: Mapping[str, Role]
) -> Iterator[tuple[str, str, str]]:
    if ENTRY not in roles:
        services = [ref_of(obj) for obj in objects if obj["kind"] == "Service"]
        example = f"{services[0].kind}/{services[0].name}" if services else "Service/my-app:80"
        yield (
            ENTRY,
            "no entry is bound, so no load can be put on",
            f'under [roles], write entry = "{example}" (a Service, with its port)',
        )
    for name, role in roles.items():
        try:
            yield from ((name, *each) for each in _one_role(objects, name, role))
        except ManifestError as error:
            yield name, error.message, error.remedy


def _one_role(objects: Sequence[Object], name: str, role: Role) -> Iterator[tuple[str, str]]:
    found = find(objects, role.ref)
    if name == ENTRY and role.ref.kind != "Service":
        yield f"{role.ref} is no Service", "bind the entry to the Service that clients call"
    if role.ref.kind == "Service":
        entry = service_port(found, role.ref.port)
        behind = service_workloads(objects, found)
        if (found.get("spec") or {}).get("selector") and not behind:
            yield (
                f"{role.ref} selects no pods of these manifests",
                "make its selector match the labels of a workload's pod template",
            )
        for workload in behind:
            target_port(found, entry["port"], workload)
    elif pod_spec(found) is None:
        yield f"{role.ref} has no pods", "bind the role to a workload or a Service"
    if role.secret:
        yield from _secret(objects, role)


def _secret(objects: Sequence[Object], role: Role) -> Iterator[tuple[str, str]]:
    secret = find_optional(objects, Ref("Secret", str(role.secret), role.ref.namespace))
    if secret is None:
        yield f"the manifests have no Secret/{role.secret}", "correct secret, or leave it out"
        return
    keys = {**(secret.get("data") or {}), **(secret.get("stringData") or {})}
    wanted = [role.password_key] if role.user else [role.user_key, role.password_key]
    missing = [key for key in wanted if key not in keys]
    if missing:
        known = ", ".join(sorted(keys)) or "none"
        yield (
            f"Secret/{role.secret} has no key {', '.join(missing)}",
            f"set user_key and password_key to two of its keys: {known}",
        )
