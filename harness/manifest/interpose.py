"""Putting a TCP proxy into the path of a Service, without a client noticing.

The Service keeps its name, addresses and ports but selects the proxy's pods; a new Service
`<name>-direct` carries what it selected before, for the proxy to connect to. Pure: the proxy's own
Deployment, and what it does to the traffic, belong to the faults that use it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import ManifestError
from harness.manifest.objects import (
    Object,
    Ref,
    find,
    find_optional,
    labels_of,
    name_of,
    namespace_of,
    ref_of,
    replicas,
    service_port,
    service_workloads,
)

_FRONT_ONLY = (
    "allocateLoadBalancerNodePorts",
    "clusterIP",
    "clusterIPs",
    "externalIPs",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "sessionAffinity",
    "sessionAffinityConfig",
)


@dataclass(frozen=True)
class Unsupported:
    """No proxy can stand in the path of this Service, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """One port of the Service: where the proxy listens, and where it connects to.

    `upstream` is `host:port`; only the `faulted` one is the role's, the others pass through.
    """

    port: int
    port_name: str | None
    listen: int
    upstream: str
    faulted: bool


@dataclass(frozen=True, kw_only=True)
class Interposed:
    """The objects with the proxy in the path, what it has to relay, and what is different now."""

    objects: list[Object]
    routes: tuple[Route, ...]
    direct: Ref
    notes: tuple[str, ...] = ()


def interpose(
    objects: Sequence[Object],
    service: Ref,
    *,
    labels: Mapping[str, str],
    first_port: int = 15000,
) -> Interposed | Unsupported:
    """Let `service` select the pods with `labels`, which listen from `first_port` upwards.

    The port of `service` names the faulted one (default: the first). Raises `ManifestError` where
    the Service or the port is not there.
    """
    before = find(objects, service)
    role_port = service_port(before, service.port)
    reason = _unsupported(objects, before)
    if reason:
        return Unsupported(reason)

    direct_name = f"{name_of(before)}-direct"
    namespace = namespace_of(before)
    if find_optional(objects, Ref("Service", direct_name, namespace)):
        raise ManifestError(
            f"the manifests already have a Service/{direct_name}",
            remedy="rename it: the harness needs this name for the way past its proxy",
        )
    host = f"{direct_name}.{namespace}.svc" if namespace else direct_name
    front, direct = copy.deepcopy(before), _direct(before, direct_name)
    front["spec"]["selector"] = dict(labels)
    front["spec"].pop("publishNotReadyAddresses", None)
    routes = []
    for index, port in enumerate(front["spec"]["ports"]):
        listen = first_port + index
        port["targetPort"] = listen
        routes.append(
            Route(
                port=port["port"],
                port_name=port.get("name"),
                listen=listen,
                upstream=f"{host}:{port['port']}",
                faulted=port["port"] == role_port["port"],
            )
        )
    policies, notes = _policies(objects, before, labels, [route.listen for route in routes])
    result = [front if obj is before else copy.deepcopy(obj) for obj in objects]
    return Interposed(
        objects=[*result, direct, *policies],
        routes=tuple(routes),
        direct=ref_of(direct),
        notes=notes,
    )


def _unsupported(objects: Sequence[Object], service: Object) -> str | None:
    spec = service.get("spec") or {}
    what = str(ref_of(service))
    if spec.get("type") == "ExternalName":
        return f"{what} is of type ExternalName: its traffic never passes through the cluster"
    if spec.get("clusterIP") == "None":
        return f"{what} is headless (clusterIP: None): clients connect to the pods themselves"
    if not spec.get("selector"):
        return f"{what} has no selector: its endpoints are written by someone else"
    others = [port for port in spec["ports"] if port.get("protocol", "TCP") != "TCP"]
    if others:
        protocols = ", ".join(f"{port['port']}/{port['protocol']}" for port in others)
        return f"{what} has ports that a TCP proxy cannot relay: {protocols}"
    if spec.get("internalTrafficPolicy") == "Local":
        return f"{what} keeps its traffic on each node (internalTrafficPolicy: Local)"
    if spec.get("externalTrafficPolicy") == "Local":
        return f"{what} keeps its traffic on each node (externalTrafficPolicy: Local)"
    several = sum(replicas(obj) or 2 for obj in service_workloads(objects, service)) > 1
    if spec.get("sessionAffinity") == "ClientIP" and several:
        return (
            f"{what} ties clients to one of several pods (sessionAffinity: ClientIP), "
            "and a proxy hides who the client is"
        )
    return None


def _direct(service: Object, name: str) -> Object:
    """A plain ClusterIP Service with the original selector, ports and target ports."""
    spec = {
        key: copy.deepcopy(value)
        for key, value in service["spec"].items()
        if key not in _FRONT_ONLY
    }
    spec["type"] = "ClusterIP"
    for port in spec["ports"]:
        port.pop("nodePort", None)
    labels = labels_of(service)
    named: Object = {"name": name}
    if namespace_of(service):
        named["namespace"] = namespace_of(service)
    if labels:
        named["labels"] = labels
    return {"apiVersion": "v1", "kind": "Service", "metadata": named, "spec": spec}


def _policies(
    objects: Sequence[Object], service: Object, labels: Mapping[str, str], listens: Sequence[int]
) -> tuple[list[Object], tuple[str, ...]]:
    """NetworkPolicies that let the traffic through the proxy, where the namespace has any.

    Without them a default deny would cut the proxy off, and the trial would show that instead of
    the fault. They only speak of the proxy's own pods and ports.
    """
    namespace = namespace_of(service)
    present = [
        obj for obj in objects if obj["kind"] == "NetworkPolicy" and namespace_of(obj) == namespace
    ]
    if not present:
        return [], ()
    proxy = {"podSelector": {"matchLabels": dict(labels)}}
    ports = [{"protocol": "TCP", "port": port} for port in listens]
    behind = {"podSelector": {"matchLabels": dict(service["spec"]["selector"])}}
    name = f"{name_of(service)}-proxy"
    specs: dict[str, Object] = {
        name: {
            **proxy,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{}],
            "egress": [{}],
        },
        f"{name}-upstream": {**behind, "policyTypes": ["Ingress"], "ingress": [{"from": [proxy]}]},
    }
    clients = [spec for spec in map(_client_selector, present) if spec is not None]
    for index, selector in enumerate(clients):
        specs[f"{name}-clients-{index}"] = {
            "podSelector": copy.deepcopy(selector),
            "policyTypes": ["Egress"],
            "egress": [{"to": [proxy], "ports": ports}],
        }
    made = [_policy(each, namespace, spec) for each, spec in specs.items()]
    return made, (
        f"NetworkPolicies {', '.join(specs)} let traffic to {name_of(service)} take the way "
        "through the proxy; who may reach it is not judged in this trial",
    )


def _client_selector(policy: Object) -> Object | None:
    """Whom a policy restricts in egress, or `None` if it does not."""
    spec = policy["spec"]
    types = spec.get("policyTypes") or (["Egress"] if "egress" in spec else [])
    return (spec.get("podSelector") or {}) if "Egress" in types else None


def _policy(name: str, namespace: str | None, spec: Object) -> Object:
    named: Object = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": named,
        "spec": spec,
    }
