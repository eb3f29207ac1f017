from __future__ import annotations

import copy
from typing import Any

import pytest

from harness.errors import ManifestError
from harness.manifest.interpose import Interposed, Proxy, Unsupported, interpose, led_to
from harness.manifest.objects import Ref, find, matches, pod_labels, service_workloads
from harness.manifest.yaml import load_all

LABELS = {"resilience-harness.dev/proxy-of": "db"}
Pod = tuple[str, dict[str, str]]
"""Namespace and labels."""
PROXY = Proxy(namespace="harness-t1", name="proxy-db.shop", labels=LABELS)
BASE = """
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop, labels: {app: db}}
spec:
  type: NodePort
  clusterIP: 10.96.7.7
  selector: {app: db}
  ports:
    - {name: pg, port: 5432, targetPort: postgres, nodePort: 30432}
    - {name: metrics, port: 9187}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 1
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, ports: [{name: postgres, containerPort: 5432}]}]}
"""
POLICIES = """
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny-all, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: elsewhere, namespace: other}
spec: {podSelector: {}, policyTypes: [Egress]}
"""


def done(text: str, ref: str = "Service/db:5432") -> Interposed:
    objects = load_all(text)
    before = copy.deepcopy(objects)
    found = interpose(objects, Ref.parse(ref), proxy=PROXY)
    assert objects == before, "the input was changed"
    assert isinstance(found, Interposed), found
    return found


def test_clients_keep_name_address_and_ports_and_meet_the_proxy() -> None:
    found = done(BASE)
    spec = find(found.objects, Ref.parse("Service/db"))["spec"]
    assert "selector" not in spec
    assert spec["clusterIP"] == "10.96.7.7"
    assert spec["type"] == "NodePort"
    assert spec["ports"] == [
        {"name": "pg", "port": 5432, "targetPort": 15000, "nodePort": 30432},
        {"name": "metrics", "port": 9187, "targetPort": 15001},
    ]


def test_the_slice_leads_to_the_proxy_by_the_names_of_the_ports_once_its_address_is_known() -> None:
    found = done(BASE)
    empty = find(found.objects, Ref.parse("EndpointSlice/db-proxy"))
    assert empty["metadata"]["labels"]["kubernetes.io/service-name"] == "db"
    assert empty["endpoints"] == []
    assert empty["ports"] == [
        {"name": "pg", "port": 15000, "protocol": "TCP"},
        {"name": "metrics", "port": 15001, "protocol": "TCP"},
    ]
    led = led_to(found.objects, {"proxy-db.shop": "10.0.0.7", "proxy-other.shop": "10.0.0.8"})
    full = find(led, Ref.parse("EndpointSlice/db-proxy"))
    assert full["endpoints"] == [{"addresses": ["10.0.0.7"], "conditions": {"ready": True}}]
    assert [o for o in led if o is not full] == [o for o in found.objects if o is not empty]
    six = led_to(found.objects, {"proxy-db.shop": "fd00::7"})
    assert find(six, Ref.parse("EndpointSlice/db-proxy"))["addressType"] == "IPv6"


def test_the_direct_service_has_what_was_selected_before() -> None:
    found = done(BASE)
    direct = find(found.objects, Ref("Service", "db-direct", "shop"))
    assert direct["metadata"]["labels"] == {"app": "db"}
    assert direct["spec"] == {
        "type": "ClusterIP",
        "selector": {"app": "db"},
        "ports": [
            {"name": "pg", "port": 5432, "targetPort": "postgres"},
            {"name": "metrics", "port": 9187},
        ],
    }
    assert [obj["kind"] for obj in service_workloads(found.objects, direct)] == ["StatefulSet"]


def test_the_proxy_is_never_its_own_upstream() -> None:
    direct = find(done(BASE).objects, Ref.parse("Service/db-direct"))
    assert not matches(direct["spec"]["selector"], LABELS)


@pytest.mark.parametrize("ref", ["Service/db:5432", "Service/db", "Service/db:metrics"])
def test_every_port_is_relayed(ref: str) -> None:
    assert [(r.port, r.listen, r.upstream) for r in done(BASE, ref).routes] == [
        (5432, 15000, "db-direct.shop.svc:5432"),
        (9187, 15001, "db-direct.shop.svc:9187"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("clusterIP: 10.96.7.7", "clusterIP: None", "headless"),
        ("type: NodePort", "type: ExternalName", "ExternalName"),
        ("selector: {app: db}\n  ports", "ports", "no selector"),
        ("port: 9187", "port: 9187, protocol: UDP", "9187/UDP"),
        ("type: NodePort", "internalTrafficPolicy: Local", "internalTrafficPolicy"),
        ("type: NodePort", "externalTrafficPolicy: Local", "externalTrafficPolicy"),
    ],
)
def test_what_no_proxy_can_stand_before(old: str, new: str, reason: str) -> None:
    assert old in BASE
    found = interpose(load_all(BASE.replace(old, new)), Ref.parse("Service/db:5432"), proxy=PROXY)
    assert isinstance(found, Unsupported)
    assert reason in found.reason
    assert "Service/db" in found.reason


def test_session_affinity_matters_only_with_several_pods() -> None:
    text = BASE.replace("type: NodePort", "sessionAffinity: ClientIP")
    direct = find(done(text).objects, Ref.parse("Service/db-direct"))
    assert "sessionAffinity" not in direct["spec"], "it would tie the proxy to one pod"
    several = load_all(text.replace("replicas: 1", "replicas: 2"))
    found = interpose(several, Ref.parse("Service/db"), proxy=PROXY)
    assert isinstance(found, Unsupported)
    assert "sessionAffinity" in found.reason


def test_missing_service_port_or_free_name_are_errors() -> None:
    with pytest.raises(ManifestError, match="no Service/dbb"):
        done(BASE, "Service/dbb:5432")
    with pytest.raises(ManifestError, match="no port 3306"):
        done(BASE, "Service/db:3306")
    taken = (
        BASE + "---\napiVersion: v1\nkind: Service\nmetadata: {name: db-direct, namespace: shop}\n"
    )
    with pytest.raises(ManifestError, match="already have a Service/db-direct"):
        done(taken)


SHOP, OURS = "shop", "harness-t1"


def allowed(policies: list[dict[str, Any]], source: Pod, target: Pod) -> bool:
    """What the network would do with TCP between two pods, ports left aside; the policies are of
    namespace `shop`."""

    def names(rule: dict[str, Any], peer: Pod) -> bool:
        chosen = (rule.get("namespaceSelector") or {}).get("matchLabels") or {}
        namespace = chosen.get("kubernetes.io/metadata.name", SHOP)
        return namespace == peer[0] and matches(rule["podSelector"], peer[1])

    def direction(pod: Pod, peer: Pod, kind: str, key: str, side: str) -> bool:
        chosen = []
        for policy in policies if pod[0] == SHOP else ():
            spec = policy["spec"]
            types = spec.get("policyTypes") or ["Ingress"] + (
                ["Egress"] if "egress" in spec else []
            )
            if kind in types and matches(spec.get("podSelector") or {}, pod[1]):
                chosen.append(spec)
        if not chosen:
            return True
        return any(
            side not in rule or any(names(each, peer) for each in rule[side])
            for spec in chosen
            for rule in spec.get(key) or []
        )

    return direction(source, target, "Egress", "egress", "to") and direction(
        target, source, "Ingress", "ingress", "from"
    )


def test_policies_of_the_namespace_let_the_traffic_through_the_proxy() -> None:
    found = done(BASE + POLICIES)
    policies = [
        obj
        for obj in found.objects
        if obj["kind"] == "NetworkPolicy" and obj["metadata"]["namespace"] == "shop"
    ]
    before = [obj for obj in policies if "proxy" not in obj["metadata"]["name"]]
    api, db, stranger = (SHOP, {"app": "api"}), (SHOP, {"app": "db"}), (SHOP, {"app": "stranger"})
    proxy, neighbour = (OURS, LABELS), (OURS, {"app": "agent"})
    assert allowed(before, api, db)
    assert not allowed(before, api, proxy), "the test's own model must see the problem"
    assert not allowed(before, proxy, db)
    assert allowed(policies, api, proxy)
    assert allowed(policies, proxy, db)
    assert not allowed(policies, stranger, db), "the way around the proxy is as closed as before"
    assert not allowed(policies, neighbour, db)
    assert not allowed(policies, (SHOP, LABELS), db), "the labels alone open nothing"


def test_without_policies_none_are_added() -> None:
    found = done(BASE)
    assert not any(obj["kind"] == "NetworkPolicy" for obj in found.objects)
    assert pod_labels(find(found.objects, Ref.parse("StatefulSet/db"))) == {"app": "db"}
