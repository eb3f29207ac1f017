"""What the faults on a TCP dependency share: a Toxiproxy that stands in the path from the start.

The role's Service keeps its name and selects the proxy instead of the dependency's pods, before
any pod of the subject runs. So the control run takes the same way, and connections that an
application keeps in a pool are hit like new ones. Measurements come from a pod of ours that talks
the dependency's own protocol through the same Service.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.cluster.api import Kube
from harness.cluster.eventually import eventually
from harness.cluster.ledger import Record, undo
from harness.cluster.world import World
from harness.declare import Json
from harness.errors import FaultError, ManifestError
from harness.faults.base import SUPPORTED, FaultContext, Support
from harness.manifest.interpose import Interposed, Route, Unsupported, interpose
from harness.manifest.objects import Object, find, name_of, namespace_of, service_port
from harness.manifest.subject_file import Role

UNDO = "toxics"
TTL_S = 30.0
"""Toxics end by themselves this long after they were last renewed; each measurement renews them."""

_LABEL = "resilience-harness.dev/part"
_PROXY_LABEL = "resilience-harness.dev/proxy-of"
_API = 8474
_EXPIRY = 8475
_AGENT = 8476
_PROTOCOLS = {5432: "postgres", 3306: "mysql", 6379: "redis", 80: "http", 8080: "http"}


def support(role: Role, objects: Sequence[Object], *, speed: bool) -> Support:
    """Whether a proxy can stand before the role, and its exchanges can be timed (`speed`)."""
    if role.ref.kind != "Service":
        return Support(
            "unsupported", f"{role.ref} is no Service; only a Service can be given a proxy"
        )
    try:
        tried = interpose(objects, role.ref, labels={_PROXY_LABEL: role.ref.name})
    except ManifestError as error:
        return Support("unsupported", error.message)
    if isinstance(tried, Unsupported):
        return Support("unsupported", tried.reason)
    if protocol_of(role, objects) == "tcp" and speed:
        return Support(
            "unsupported",
            f"the protocol of {role.ref} is not known, so its speed cannot be measured; name it: "
            'protocol = "postgres" | "mysql" | "redis" | "http"',
        )
    return SUPPORTED


def protocol_of(role: Role, objects: Sequence[Object]) -> str:
    """The role's declared protocol, else what its well-known port suggests, else `tcp`."""
    if role.protocol is not None:
        return role.protocol
    number = service_port(find(objects, role.ref), role.ref.port)["port"]
    return _PROTOCOLS.get(int(number), "tcp")


def stand_in_path(objects: Sequence[Object], role: Role, ctx: FaultContext) -> list[Object]:
    """The objects with a proxy before the role's Service and a measuring pod beside it.

    A second fault on the same Service finds the proxy there and adds nothing.
    """
    namespace = ctx.namespace_of(role.ref)
    if any(_is_proxy(o, role.ref.name, namespace) for o in objects):
        return list(objects)
    labels = {_LABEL: "proxy", _PROXY_LABEL: role.ref.name}
    result = interpose(objects, role.ref, labels=labels)
    if isinstance(result, Unsupported):
        raise FaultError(
            f"no proxy can stand before {role.ref}: {result.reason}",
            remedy="give the role another Service, or leave this scenario out",
        )
    assert isinstance(result, Interposed)
    ours = _proxy_objects(role.ref.name, namespace, labels, result.routes, ctx.images["agent"])
    if not any(
        o["kind"] == "Deployment" and name_of(o) == "harness-agent" and namespace_of(o) == namespace
        for o in objects
    ):
        ours.append(_agent_deployment(namespace, ctx.images["agent"]))
    return [*result.objects, *ours]


async def exchange(
    ctx: FaultContext, role: Role, *, payload_bytes: int = 1, timeout: float = 30.0
) -> Json:
    """One timed exchange with the role from our pod: ok, seconds, bytes, error."""
    namespace = ctx.namespace_of(role.ref)
    service = await ctx.kube.get("v1", "Service", role.ref.name, namespace)
    query: dict[str, Any] = {
        "protocol": protocol_of(role, [service]),
        "host": f"{role.ref.name}.{namespace}.svc",
        "port": service_port(service, role.ref.port)["port"],
        "bytes": payload_bytes,
        "timeout": timeout,
        **await _credentials(ctx.kube, namespace, role),
    }
    if role.path:
        query["path"] = role.path
    pod = await _ready_pod(ctx.kube, namespace, {_LABEL: "agent"})
    answer = await ctx.kube.pod_proxy(namespace, pod, _AGENT, "POST", "/exchange", query)
    if answer.status != 200:
        raise FaultError(
            f"the measuring pod {pod} answered {answer.status}: {answer.text[:200]}",
            remedy="read its log: kubectl logs deployment/harness-agent in the trial's namespace",
        )
    result: Json = answer.json()
    return result


async def install(
    ctx: FaultContext, role: Role, toxics: Sequence[Json], *, enabled: bool = True
) -> None:
    """Ledger record, then the toxics on the proxy before the role."""
    namespace = ctx.namespace_of(role.ref)
    ctx.record(UNDO, {"namespace": namespace, "service": role.ref.name})
    pod = await _ready_pod(ctx.kube, namespace, {_PROXY_LABEL: role.ref.name})
    body = {
        "proxy": _proxy_name(role.ref.name, await _port(ctx, role)),
        "toxics": list(toxics),
        "enabled": enabled,
        "ttl": TTL_S,
    }
    answer = await ctx.kube.pod_proxy(namespace, pod, _EXPIRY, "PUT", "/toxics", body)
    if answer.status != 200:
        raise FaultError(
            f"the proxy before {role.ref} refused {body}: {answer.status} {answer.text[:200]}",
            remedy="this is a defect of the harness or of its agent image; rebuild with "
            "`harness setup`",
        )


async def renew(ctx: FaultContext, role: Role) -> bool:
    """Keep the toxics for another `TTL_S`; False if they are gone already."""
    namespace = ctx.namespace_of(role.ref)
    pod = await _ready_pod(ctx.kube, namespace, {_PROXY_LABEL: role.ref.name})
    answer = await ctx.kube.pod_proxy(namespace, pod, _EXPIRY, "POST", "/renew", {"ttl": TTL_S})
    return bool(answer.status == 200 and answer.json()["renewed"])


@undo(UNDO)
async def remove_toxics(record: Record, world: World) -> None:
    """Heal: no toxic on any proxy before the Service. Nothing to do if the namespace is gone."""
    namespace, service = record.data["namespace"], record.data["service"]
    kube = await world.kube(record)
    pods = await kube.list("v1", "Pod", namespace, labels=f"{_PROXY_LABEL}={service}")
    for pod in pods:
        if pod.get("status", {}).get("phase") != "Running" or _deleting(pod):
            continue
        name = pod["metadata"]["name"]
        answer = await kube.pod_proxy(namespace, name, _EXPIRY, "DELETE", "/toxics")
        if answer.status != 200 or any(p["toxics"] for p in answer.json().values()):
            raise FaultError(
                f"toxics are still on {name}: {answer.status} {answer.text[:200]}",
                remedy=f"delete the pod: kubectl -n {namespace} delete pod {name}",
            )


def _is_proxy(obj: Object, service: str, namespace: str) -> bool:
    labels = obj["metadata"].get("labels") or {}
    return (
        obj["kind"] == "Deployment"
        and labels.get(_PROXY_LABEL) == service
        and namespace_of(obj) == namespace
    )


async def _port(ctx: FaultContext, role: Role) -> int:
    service = await ctx.kube.get("v1", "Service", role.ref.name, ctx.namespace_of(role.ref))
    return int(service_port(service, role.ref.port)["port"])


def _proxy_name(service: str, port: int) -> str:
    return f"{service}-{port}"


async def _ready_pod(kube: Kube, namespace: str, labels: Mapping[str, str]) -> str:
    selector = ",".join(f"{k}={v}" for k, v in labels.items())

    async def look() -> str | None:
        for pod in await kube.list("v1", "Pod", namespace, labels=selector):
            conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
            if conditions.get("Ready") == "True" and not _deleting(pod):
                return str(pod["metadata"]["name"])
        return None

    return str(await eventually(look, within=15.0, what=f"a Ready pod {selector} in {namespace}"))


def _deleting(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


async def _credentials(kube: Kube, namespace: str, role: Role) -> dict[str, str]:
    found = {"user": role.user, "dbname": role.dbname}
    if role.secret is not None:
        secret = await kube.get("v1", "Secret", role.secret, namespace)
        data = {k: base64.b64decode(v).decode() for k, v in (secret.get("data") or {}).items()}
        found["user"] = data.get(role.user_key) or role.user
        found["password"] = data.get(role.password_key)
    return {k: v for k, v in found.items() if v}


def _meta(name: str, namespace: str, labels: Mapping[str, str]) -> Json:
    return {
        "name": name,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": "resilience-harness", **labels},
    }


def _container(name: str, image: str, command: list[str], port: int, path: str) -> Json:
    return {
        "name": name,
        "image": image,
        "command": command,
        "ports": [{"containerPort": port}],
        "resources": {"requests": {"cpu": "10m", "memory": "24Mi"}},
        "readinessProbe": {"httpGet": {"path": path, "port": port}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _deployment(name: str, namespace: str, labels: Mapping[str, str], pod_spec: Json) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(name, namespace, labels),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {
                    "automountServiceAccountToken": False,
                    # Our pods hold nothing that is worth waiting for at clean-up.
                    "terminationGracePeriodSeconds": 1,
                    **pod_spec,
                },
            },
        },
    }


def _proxy_objects(
    service: str, namespace: str, labels: Mapping[str, str], routes: Sequence[Route], image: str
) -> list[Object]:
    name = f"harness-proxy-{service}"
    proxies = [
        {
            "name": _proxy_name(service, route.port),
            "listen": f"0.0.0.0:{route.listen}",
            "upstream": route.upstream,
            "enabled": True,
        }
        for route in routes
    ]
    config: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(name, namespace, labels),
        "data": {"proxies.json": json.dumps(proxies, indent=1)},
    }
    server = _container(
        "toxiproxy",
        image,
        ["toxiproxy-server", "-host", "0.0.0.0", "-config", "/etc/toxiproxy/proxies.json"],
        _API,
        "/version",
    )
    server["volumeMounts"] = [{"name": "config", "mountPath": "/etc/toxiproxy"}]
    expiry = _container(
        "expiry", image, ["python3", "/app/agent.py", str(_EXPIRY), "expiry"], _EXPIRY, "/healthz"
    )
    pod_spec = {
        "containers": [server, expiry],
        "volumes": [{"name": "config", "configMap": {"name": name}}],
    }
    return [config, _deployment(name, namespace, labels, pod_spec)]


def _agent_deployment(namespace: str, image: str) -> Object:
    container = _container(
        "agent", image, ["python3", "/app/agent.py", str(_AGENT)], _AGENT, "/healthz"
    )
    return _deployment("harness-agent", namespace, {_LABEL: "agent"}, {"containers": [container]})
