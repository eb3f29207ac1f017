"""Putting a TCP proxy into the path of a Service, without a client noticing.

The Service keeps its name, addresses and ports but selects nothing any more: an EndpointSlice leads
it to the proxy's pod, which stands in another namespace. A new Service `<name>-direct` carries what
was selected before, for the proxy to connect to. Pure: the proxy's own pod, its address in the
slice, and what it does to the traffic belong to the faults that use it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import ManifestError
from harness.labels import DOMAIN, MANAGER
from harness.manifest.objects import (
    Object,
    Ref,
    find,
    find_optional,
    labels_of,
    metadata,
    name_of,
    namespace_of,
    ref_of,
    replicas,
    service_port,
    service_workloads,
)

_FIRST_PORT = 15000
LEADS_TO = f"{DOMAIN}/leads-to"
"""Annotation of an EndpointSlice: the pod whose address it is to have."""

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


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """The pod that is to stand in the path: where it will be, and by which labels it is known."""

    namespace: str
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Unsupported:
    """No proxy can stand in the path of this Service, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """One port of the Service: where the proxy listens, and where it connects to.

    `upstream` is `host:port`.
    """

    port: int
    port_name: str | None
    listen: int
    upstream: str


@dataclass(frozen=True, kw_only=True)
class Interposed:
    """The objects with the way to the proxy, and what it has to relay."""

    objects: list[Object]
    routes: tuple[Route, ...]


def interpose(
    objects: Sequence[Object],
    service: Ref,
    *,
    proxy: Proxy,
) -> Interposed | Unsupported:
    """Let `service` lead to a proxy, which listens from port 15000 upwards.

    The EndpointSlice has no endpoint: the proxy's address is known once it runs. Raises
    `ManifestError` where the Service, or the port that `service` names, is not there.
    """
    before = find(objects, service)
    service_port(before, service.port)
    reason = _unsupported(objects, before)
    if reason:
        return Unsupported(reason)

    past = direct_name(name_of(before))
    namespace = namespace_of(before)
    if find_optional(objects, Ref("Service", past, namespace)):
        raise ManifestError(
            f"the manifests already have a Service/{past}",
            remedy="rename it: the harness needs this name for the way past its proxy",
        )
    host = f"{past}.{namespace}.svc" if namespace else past
    front, direct = copy.deepcopy(before), _direct(before, past)
    front["spec"].pop("selector")
    front["spec"].pop("publishNotReadyAddresses", None)
    routes = []
    for index, port in enumerate(front["spec"]["ports"]):
        listen = _FIRST_PORT + index
        port["targetPort"] = listen
        routes.append(
            Route(
                port=port["port"],
                port_name=port.get("name"),
                listen=listen,
                upstream=f"{host}:{port['port']}",
            )
        )
    result = [front if obj is before else copy.deepcopy(obj) for obj in objects]
    policies = _policies(objects, before, proxy, [route.listen for route in routes])
    return Interposed(
        objects=[*result, direct, _slice(before, proxy, routes), *policies],
        routes=tuple(routes),
    )


def direct_name(service: str) -> str:
    """The name of the Service that goes past the proxy."""
    return f"{service}-direct"


def led_to(objects: Sequence[Object], addresses: Mapping[str, str]) -> list[Object]:
    """The objects with the addresses of proxies, by the names of their pods, in their slices."""
    result = []
    for obj in objects:
        address = addresses.get((metadata(obj).get("annotations") or {}).get(LEADS_TO, ""))
        if address is not None:
            family = "IPv6" if ":" in address else "IPv4"
            ready = {"addresses": [address], "conditions": {"ready": True}}
            obj = {**obj, "addressType": family, "endpoints": [ready]}
        result.append(obj)
    return result


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


def _slice(service: Object, proxy: Proxy, routes: Sequence[Route]) -> Object:
    """Where the Service leads: to the proxy's pod, as soon as its address is known."""
    named: Object = {
        "name": f"{name_of(service)}-proxy",
        "labels": {
            "kubernetes.io/service-name": name_of(service),
            "endpointslice.kubernetes.io/managed-by": MANAGER,
        },
        "annotations": {LEADS_TO: proxy.name},
    }
    if namespace_of(service):
        named["namespace"] = namespace_of(service)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": named,
        "addressType": "IPv4",
        "endpoints": [],
        "ports": [
            {"name": route.port_name or "", "port": route.listen, "protocol": "TCP"}
            for route in routes
        ],
    }


def _policies(
    objects: Sequence[Object], service: Object, proxy: Proxy, listens: Sequence[int]
) -> list[Object]:
    """NetworkPolicies that let the traffic through the proxy, where the namespace has any.

    Without them a default deny would cut the proxy off, and the trial would show that instead of
    the fault. They only open the ways to the proxy's ports and from its pod; nothing that was open
    is closed, but who may reach the Service is not judged in such a trial.
    """
    namespace = namespace_of(service)
    present = [
        obj for obj in objects if obj["kind"] == "NetworkPolicy" and namespace_of(obj) == namespace
    ]
    if not present:
        return []
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": proxy.namespace}},
        "podSelector": {"matchLabels": dict(proxy.labels)},
    }
    ports = [{"protocol": "TCP", "port": port} for port in listens]
    behind = {"podSelector": {"matchLabels": dict(service["spec"]["selector"])}}
    name = f"{name_of(service)}-proxy"
    specs: dict[str, Object] = {
        f"{name}-upstream": {**behind, "policyTypes": ["Ingress"], "ingress": [{"from": [peer]}]},
    }
    clients = [spec for spec in map(_client_selector, present) if spec is not None]
    for index, selector in enumerate(clients):
        specs[f"{name}-clients-{index}"] = {
            "podSelector": copy.deepcopy(selector),
            "policyTypes": ["Egress"],
            "egress": [{"to": [peer], "ports": ports}],
        }
    return [_policy(each, namespace, spec) for each, spec in specs.items()]


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
