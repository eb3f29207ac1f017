"""Guessing what the objects of an application are to each other: entry, workload, dependencies.

Each guess carries the reason for it, because a person has to confirm it. The text of `harness.toml`
is made in `harness.manifest.propose`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.manifest.objects import (
    Object,
    Ref,
    containers,
    name_of,
    ref_of,
    replicas,
    service_workloads,
)
from harness.manifest.subject_file import Protocol
from harness.manifest.wiring import callers_of, variables_of

# Well-known ports and image names of what applications keep their state in.
_STORES: Mapping[str, tuple[Protocol, frozenset[int], tuple[str, ...]]] = {
    "PostgreSQL": (
        "postgres",
        frozenset({5432}),
        ("postgres", "postgis", "timescale", "pgbouncer"),
    ),
    "MySQL": ("mysql", frozenset({3306}), ("mysql", "mariadb", "percona")),
    "Redis": ("redis", frozenset({6379}), ("redis", "valkey", "keydb", "dragonfly")),
    "MongoDB": ("tcp", frozenset({27017}), ("mongo",)),
    "RabbitMQ": ("tcp", frozenset({5672}), ("rabbitmq",)),
    "Kafka": ("tcp", frozenset({9092}), ("kafka", "redpanda")),
    "NATS": ("tcp", frozenset({4222}), ("nats",)),
    "Memcached": ("tcp", frozenset({11211}), ("memcached",)),
    "Elasticsearch": ("http", frozenset({9200}), ("elasticsearch", "opensearch")),
}
_CACHES = frozenset({"Redis", "Memcached"})
_QUEUES = frozenset({"RabbitMQ", "Kafka", "NATS"})
_PROXIES = ("nginx", "envoy", "haproxy", "traefik", "caddy", "httpd", "front", "gateway", "ingress")
_FRONT_NAMES = re.compile(r"front|gateway|web|edge|ingress|proxy|\bui\b")
_WEB_PORTS = frozenset({80, 443, 3000, 5000, 8000, 8080, 8443})
# Words in names of ports: "http", "http-api" and "web" are for clients, "http-metrics" is not.
_WEB_WORDS = frozenset({"http", "https", "web", "api", "rest", "www"})
_OTHER_WORDS = frozenset({"metrics", "admin", "management", "health", "debug", "grpc"})


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What fills a role, and why it seems so; `extra` are further keys of the role's table."""

    role: str
    ref: Ref
    because: str
    extra: Mapping[str, str]


def guess_roles(objects: Sequence[Object]) -> list[Guess]:
    """`entry`, `workload`, then stores (`database`, `cache`, `queue`), as far as they show."""
    stores = {id(obj): store for obj in _services(objects) if (store := _store(objects, obj))}
    guesses = []
    entry = _entry(objects, [obj for obj in _services(objects) if id(obj) not in stores])
    if entry:
        service, port, because = entry
        guesses.append(_guess("entry", service, because, port=port))
        workload = _workload(objects, service, stores)
        if workload:
            guesses.append(_guess("workload", *workload))
    taken: set[str] = set()
    dependencies = [
        _dependency(objects, service, *stores[id(service)], taken)
        for service in _services(objects)
        if id(service) in stores and not _doubles(objects, service)
    ]
    return guesses + dependencies


def _services(objects: Sequence[Object]) -> list[Object]:
    return [
        obj for obj in objects if obj["kind"] == "Service" and (obj.get("spec") or {}).get("ports")
    ]


def _guess(
    role: str,
    obj: Object,
    because: str,
    *,
    port: int | None = None,
    extra: Mapping[str, str] | None = None,
) -> Guess:
    ref = ref_of(obj)
    return Guess(
        role=role, ref=Ref(ref.kind, ref.name, port=port), because=because, extra=extra or {}
    )


def _entry(objects: Sequence[Object], services: Sequence[Object]) -> tuple[Object, int, str] | None:
    """The Service with most signs of being called from outside, its port, and these signs."""
    routed = dict(_ingress_backends(objects))
    rated = []
    for service in services:
        name, spec = name_of(service), service["spec"]
        behind = service_workloads(objects, service)
        signs: list[tuple[int, str]] = []
        if name in routed:
            signs.append((8, "an Ingress or HTTPRoute leads to it"))
        if spec.get("type") in {"LoadBalancer", "NodePort"}:
            signs.append((6, f"it is of type {spec['type']}"))
        if _FRONT_NAMES.search(name):
            signs.append((3, "its name says so"))
        port, is_web = _web_port(service, routed.get(name))
        if is_web:
            signs.append((2, f"port {port} looks like HTTP"))
        callers = [name_of(obj) for obj in callers_of(objects, service)]
        if not callers:
            signs.append((2, "no other workload speaks of it"))
        if behind and spec.get("clusterIP") != "None":
            rated.append((sum(weight for weight, _ in signs), service, port, signs))
    if not rated:
        return None
    _, service, port, signs = max(rated, key=lambda each: each[0])
    reasons = [text for _, text in sorted(signs, key=lambda sign: -sign[0])]
    return service, port, "; ".join(reasons) or "it is the only Service with pods"


def _web_port(service: Object, routed: int | str | None) -> tuple[int, bool]:
    """The port that clients call, and whether it looks like HTTP.

    The one that a route names, else one called so, else one known for it; metrics come first in
    many a Service.
    """
    ports = service["spec"]["ports"]
    named = [each for each in ports if routed in (each["port"], each.get("name", ""))]
    called = [each for each in ports if _speaks_http(each)]
    known = [each for each in ports if each["port"] in _WEB_PORTS]
    for candidates in (named, called, known):
        if candidates:
            return int(candidates[0]["port"]), bool(called or known)
    return int(ports[0]["port"]), False


def _speaks_http(port: Mapping[str, Any]) -> bool:
    words = re.split(r"[^a-z0-9]", f"{port.get('name', '')}-{port.get('appProtocol', '')}".lower())
    return not _WEB_WORDS.isdisjoint(words) and _OTHER_WORDS.isdisjoint(words)


def _ingress_backends(objects: Sequence[Object]) -> Iterator[tuple[str, int | str | None]]:
    """Services that routes lead to, each with the port that is named there."""
    for obj in objects:
        if obj["kind"] == "Ingress":
            spec = obj.get("spec") or {}
            backends = [spec.get("defaultBackend")]
            for rule in spec.get("rules") or []:
                backends += [p.get("backend") for p in (rule.get("http") or {}).get("paths") or []]
            for backend in backends:
                target = (backend or {}).get("service") or {}
                if name := target.get("name"):
                    port = target.get("port") or {}
                    yield name, port.get("number") or port.get("name")
        elif obj["kind"] in {"HTTPRoute", "GRPCRoute", "TCPRoute"}:
            for rule in (obj.get("spec") or {}).get("rules") or []:
                for each in rule.get("backendRefs") or []:
                    yield each["name"], each.get("port")


def _workload(
    objects: Sequence[Object], entry: Object, stores: Mapping[int, tuple[str, str]]
) -> tuple[Object, str] | None:
    """Behind the entry; behind a mere proxy, the workload that it passes requests on to."""
    behind = service_workloads(objects, entry)
    if not behind:
        return None
    first = behind[0]
    image = next((str(each.get("image", "")) for each in containers(first, "app")), "")
    if any(proxy in image.lower() or proxy in name_of(first) for proxy in _PROXIES):
        for service in _services(objects):
            beyond = service_workloads(objects, service)
            passed_on = any(obj is first for obj in callers_of(objects, service))
            if beyond and passed_on and id(service) not in stores and service is not entry:
                return beyond[
                    0
                ], f"{name_of(first)} passes requests on to Service/{name_of(service)}"
    several = f" ({replicas(first)} replicas)" if replicas(first) else ""
    return first, f"its pods are behind the entry{several}"


def _store(objects: Sequence[Object], service: Object) -> tuple[str, str] | None:
    """Which store a Service leads to, and how that shows; `None` if it does not look like one."""
    spec = service["spec"]
    images = [
        str(each.get("image", ""))
        for obj in service_workloads(objects, service)
        for each in containers(obj, "app")
    ]
    for store, (_, ports, names) in _STORES.items():
        for image in images:
            repository = image.rpartition("/")[2].partition(":")[0]
            if any(name in repository for name in names) and "exporter" not in repository:
                return store, f"its pods run {image}"
        for port in spec["ports"]:
            if port["port"] in ports:
                return store, f"port {port['port']} is {store}'s"
    return None


def _doubles(objects: Sequence[Object], service: Object) -> bool:
    """Whether a headless Service only gives names to the pods that another one leads to.

    Charts have both. Clients use the other, and only that one can be given a proxy.
    """
    if service["spec"].get("clusterIP") != "None":
        return False
    behind = [id(obj) for obj in service_workloads(objects, service)]
    return bool(behind) and any(
        [id(obj) for obj in service_workloads(objects, each)] == behind
        for each in _services(objects)
        if each["spec"].get("clusterIP") != "None"
    )


def _dependency(
    objects: Sequence[Object], service: Object, store: str, because: str, taken: set[str]
) -> Guess:
    role = "cache" if store in _CACHES else "queue" if store in _QUEUES else "database"
    if role == "cache" and not any(
        each is not service and _store(objects, each) and not _doubles(objects, each)
        for each in _services(objects)
    ):
        # The only store of an application is what its scenarios call the database.
        role = "database"
    if role in taken:
        role = name_of(service)
    taken.add(role)
    protocol = _STORES[store][0]
    extra = {"protocol": str(protocol), **_credentials(objects, service, protocol)}
    callers = ", ".join(name_of(obj) for obj in callers_of(objects, service))
    if callers:
        because += f"; used by {callers}"
    return _guess(role, service, because, port=_store_port(service, store), extra=extra)


def _store_port(service: Object, store: str) -> int:
    """The store's own port; the first one where none is well known."""
    ports = [int(each["port"]) for each in service["spec"]["ports"]]
    return next((port for port in ports if port in _STORES[store][1]), ports[0])


_VARIABLES: Mapping[Protocol, Mapping[str, tuple[str, ...]]] = {
    "postgres": {
        "user": ("POSTGRES_USER", "POSTGRESQL_USERNAME"),
        "password": ("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"),
        "dbname": ("POSTGRES_DB", "POSTGRESQL_DATABASE"),
    },
    "mysql": {
        "user": ("MYSQL_USER", "MARIADB_USER"),
        "password": ("MYSQL_PASSWORD", "MARIADB_PASSWORD"),
        "dbname": ("MYSQL_DATABASE", "MARIADB_DATABASE"),
    },
    "redis": {"password": ("REDIS_PASSWORD",)},
}
_DEFAULT_USERS: Mapping[Protocol, str] = {"postgres": "postgres"}


def _credentials(objects: Sequence[Object], service: Object, protocol: Protocol) -> dict[str, str]:
    """Keys of the role's table, from the variables of the store's own containers."""
    found: dict[str, str] = {}
    for workload in service_workloads(objects, service):
        variables = dict(variables_of(objects, workload))
        for what, names in _VARIABLES.get(protocol, {}).items():
            for variable in (variables[name] for name in names if name in variables):
                if variable.secret and variable.key and what != "dbname":
                    found.setdefault("secret", variable.secret)
                    found[f"{what}_key"] = variable.key
                elif variable.value and what != "password":
                    found[what] = variable.value
    if "secret" in found and "user_key" not in found and protocol in _DEFAULT_USERS:
        found.setdefault("user", _DEFAULT_USERS[protocol])
    return found
