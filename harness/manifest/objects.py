"""Reading plain Kubernetes objects: references, pod templates, containers, selectors, ports.

Everything here answers a question about dictionaries; what is right or wrong with them is said in
`harness.manifest.validate`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from harness.errors import ManifestError

Object: TypeAlias = dict[str, Any]
ContainerKind = Literal["all", "app", "init", "sidecar"]

WORKLOAD_KINDS = frozenset(
    {
        "CronJob",
        "DaemonSet",
        "Deployment",
        "Job",
        "Pod",
        "ReplicaSet",
        "ReplicationController",
        "StatefulSet",
    }
)


@dataclass(frozen=True)
class Ref:
    """The name of an object as people write it: `Deployment/checkout`, `Service/postgres:5432`.

    A namespace may stand in front (`shop/Deployment/checkout`) where a subject has several, and a
    port, by number or name, behind.
    """

    kind: str
    name: str
    namespace: str | None = None
    port: int | str | None = None

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Raises `ManifestError` where `text` is not of that form."""
        path, _, port = text.strip().partition(":")
        parts = path.split("/")
        if len(parts) not in (2, 3) or not all(parts) or (":" in text and not port):
            raise ManifestError(
                f'"{text}" names no object',
                remedy='write "Kind/name", such as "Deployment/checkout", with a port behind a '
                'Service ("Service/postgres:5432") and a namespace in front where needed',
            )
        namespace = parts[0] if len(parts) == 3 else None
        return cls(
            kind=parts[-2],
            name=parts[-1],
            namespace=namespace,
            port=int(port) if port.isdigit() else port or None,
        )

    def __str__(self) -> str:
        namespace = f"{self.namespace}/" if self.namespace else ""
        port = f":{self.port}" if self.port is not None else ""
        return f"{namespace}{self.kind}/{self.name}{port}"

    def without_port(self) -> Ref:
        return replace(self, port=None)

    def names(self, obj: Object) -> bool:
        """Whether `obj` is the object meant; a reference without namespace means any."""
        return (
            obj.get("kind") == self.kind
            and name_of(obj) == self.name
            and self.namespace in (None, namespace_of(obj))
        )


def name_of(obj: Object) -> str:
    return str(metadata(obj).get("name", ""))


def namespace_of(obj: Object) -> str | None:
    """The namespace as written; `None` for cluster-scoped objects and where none is written."""
    namespace = metadata(obj).get("namespace")
    return str(namespace) if namespace else None


def metadata(obj: Object) -> Object:
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def labels_of(obj: Object) -> dict[str, str]:
    return dict(metadata(obj).get("labels") or {})


def ref_of(obj: Object) -> Ref:
    return Ref(str(obj.get("kind", "")), name_of(obj), namespace_of(obj))


def pod_template(obj: Object) -> Object | None:
    """The part with the pods' `metadata` and `spec`; a Pod is its own; `None` for other kinds."""
    kind = obj.get("kind")
    if kind == "Pod":
        return obj
    if kind not in WORKLOAD_KINDS:
        return None
    spec = obj.get("spec") or {}
    if kind == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    template = spec.get("template")
    return template if isinstance(template, dict) else None


def pod_template_path(kind: str) -> str:
    """Where a workload's pod template stands, as a field path; empty for a Pod."""
    if kind == "Pod":
        return ""
    return ".spec.jobTemplate.spec.template" if kind == "CronJob" else ".spec.template"


def pod_spec(obj: Object) -> Object | None:
    template = pod_template(obj)
    spec = template.get("spec") if template else None
    return spec if isinstance(spec, dict) else None


def containers(obj: Object, kind: ContainerKind = "all") -> list[Object]:
    """Containers of a workload or pod, in the order of the lists `initContainers`, `containers`.

    `sidecar` are the init containers that keep running (`restartPolicy: Always`), `init` those that
    end; `all` includes ephemeral containers.
    """
    spec = pod_spec(obj) or {}
    started = list(spec.get("initContainers") or [])
    sidecars = [each for each in started if each.get("restartPolicy") == "Always"]
    if kind == "init":
        return [each for each in started if each not in sidecars]
    if kind == "sidecar":
        return sidecars
    app = list(spec.get("containers") or [])
    return app if kind == "app" else started + app + list(spec.get("ephemeralContainers") or [])


def workloads(objects: Iterable[Object]) -> list[Object]:
    """Every object that makes pods."""
    return [obj for obj in objects if obj.get("kind") in WORKLOAD_KINDS]


def replicas(obj: Object) -> int | None:
    """Declared replicas, with Kubernetes' default of 1; `None` for kinds without such a number."""
    if obj.get("kind") == "Pod":
        return 1
    if obj.get("kind") not in {"Deployment", "ReplicaSet", "ReplicationController", "StatefulSet"}:
        return None
    declared = (obj.get("spec") or {}).get("replicas")
    return 1 if declared is None else int(declared)


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector takes these labels; both forms: a plain map, `matchLabels`/`Expressions`.

    An empty selector takes everything, an absent one (`None`) nothing, as in the API.
    """
    if selector is None:
        return False
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return all(labels.get(key) == value for key, value in selector.items())
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression(each, labels) for each in selector.get("matchExpressions") or [])


def _expression(requirement: Object, labels: Mapping[str, str]) -> bool:
    key, operator = requirement["key"], requirement["operator"]
    values = requirement.get("values") or []
    if operator in {"In", "NotIn"}:
        return (labels.get(key) in values) is (operator == "In")
    return (key in labels) is (operator == "Exists")


def pod_labels(obj: Object) -> dict[str, str]:
    """The labels that a workload's pods get."""
    template = pod_template(obj)
    return labels_of(template) if template else {}


def service_workloads(objects: Iterable[Object], service: Object) -> list[Object]:
    """The workloads whose pods a Service selects; none for a Service without selector."""
    selector = (service.get("spec") or {}).get("selector")
    if not selector:
        return []
    return [
        obj
        for obj in workloads(objects)
        if namespace_of(obj) == namespace_of(service) and matches(selector, pod_labels(obj))
    ]


def pods_of_role(objects: Iterable[Object], ref: Ref) -> list[Object]:
    """The workloads that a role means: the object itself, or those behind its Service."""
    everything = list(objects)
    found = find(everything, ref)
    return service_workloads(everything, found) if ref.kind == "Service" else [found]


def overlaid(objects: Iterable[Object], newer: Iterable[Object]) -> list[Object]:
    """The objects, in each place the newer one of its name; what has no place yet comes last."""
    by_ref = {ref_of(obj): obj for obj in objects} | {ref_of(obj): obj for obj in newer}
    return list(by_ref.values())


def find_optional(objects: Iterable[Object], ref: Ref) -> Object | None:
    """The object meant, or `None`; raises `ManifestError` where several namespaces have one."""
    found = [obj for obj in objects if ref.names(obj)]
    if len(found) > 1:
        places = ", ".join(sorted(str(namespace_of(obj)) for obj in found))
        raise ManifestError(
            f"{ref} is in several namespaces: {places}",
            remedy=f'say which one, for example "{namespace_of(found[0])}/{ref}"',
        )
    return found[0] if found else None


def find(objects: Iterable[Object], ref: Ref) -> Object:
    """The object meant; a `ManifestError` says what there is instead."""
    everything = list(objects)
    found = find_optional(everything, ref)
    if found is None:
        raise ManifestError(
            f"the manifests have no {ref.without_port()}", remedy=_instead(everything, ref)
        )
    return found


def _instead(objects: Sequence[Object], ref: Ref) -> str:
    names = sorted({str(replace(ref_of(obj), namespace=None)) for obj in objects})
    close = did_you_mean(f"{ref.kind}/{ref.name}", names)
    if close:
        return close
    same_kind = [name for name in names if name.startswith(f"{ref.kind}/")]
    return "name one of: " + (", ".join(same_kind or names) or "(there are no objects at all)")


def did_you_mean(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """`did you mean "x"?` for the closest known word of at least that likeness, or nothing."""
    lowered = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=likeness)
    return f'did you mean "{lowered[close[0]]}"?' if close else ""


def service_port(service: Object, port: int | str | None = None) -> Object:
    """The entry of `spec.ports` with this number or name; the only or first one for `None`."""
    ports: list[Object] = list((service.get("spec") or {}).get("ports") or [])
    for each in ports:
        if port is None or port in (each.get("port"), each.get("name")):
            return each
    known = ", ".join(_port_text(each) for each in ports) or "none"
    wanted = "any port" if port is None else f"port {port}"
    raise ManifestError(
        f"{ref_of(service)} has no {wanted}", remedy=f"name one of its ports: {known}"
    )


def _port_text(port: Object) -> str:
    return f"{port.get('port')} ({port['name']})" if port.get("name") else str(port.get("port"))


def target_port(service: Object, port: int | str | None, workload: Object) -> int:
    """The container port behind a Service's port; named target ports are looked up in the pods."""
    entry = service_port(service, port)
    target = entry.get("targetPort", entry["port"])
    if isinstance(target, int):
        return target
    for container in containers(workload):
        for declared in container.get("ports") or []:
            if declared.get("name") == target:
                return int(declared["containerPort"])
    raise ManifestError(
        f'{ref_of(service)} sends port {entry["port"]} to a container port named "{target}", '
        f"which {ref_of(workload)} does not have",
        remedy=f'name a port of its containers "{target}", or write the number in targetPort',
    )
