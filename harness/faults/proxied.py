"""What the faults on a TCP dependency share: a Toxiproxy that stands in the path from the start.

The role's Service keeps its name and selects the proxy instead of the dependency's pods, before
any pod of the subject runs. So the control run takes the same way, and connections that an
application keeps in a pool are hit like new ones. Measurements come from a pod of ours that talks
the dependency's own protocol through the same Service.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from harness.errors import FaultError, ManifestError
from harness.faults import agent_pod as agent
from harness.faults.base import SUPPORTED, FaultContext, Support
from harness.history.facts import Json
from harness.manifest.interpose import Interposed, Route, Unsupported, interpose
from harness.manifest.objects import Object, namespace_of, service_port
from harness.manifest.subject_file import Role
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "toxics"
TTL_S = 30.0
"""Toxics end by themselves this long after they were last renewed; each measurement renews them."""

_PROXY_LABEL = "resilience-harness.dev/proxy-of"
_API = 8474
_EXPIRY = 8475


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
    if agent.protocol_of(role, objects) == "tcp" and speed:
        return Support(
            "unsupported",
            f"the protocol of {role.ref} is not known, so its speed cannot be measured; name it: "
            'protocol = "postgres" | "mysql" | "redis" | "http"',
        )
    return SUPPORTED


def stand_in_path(objects: Sequence[Object], role: Role, ctx: FaultContext) -> list[Object]:
    """The objects with a proxy before the role's Service and a measuring pod beside it.

    A second fault on the same Service finds the proxy there and adds nothing.
    """
    namespace = ctx.namespace_of(role.ref)
    if any(_is_proxy(o, role.ref.name, namespace) for o in objects):
        return list(objects)
    labels = {agent.LABEL: "proxy", _PROXY_LABEL: role.ref.name}
    result = interpose(objects, role.ref, labels=labels)
    if isinstance(result, Unsupported):
        raise FaultError(
            f"no proxy can stand before {role.ref}: {result.reason}",
            remedy="give the role another Service, or leave this scenario out",
        )
    assert isinstance(result, Interposed)
    ours = _proxy_objects(role.ref.name, namespace, labels, result.routes, ctx.images["agent"])
    return agent.beside([*result.objects, *ours], namespace, ctx)


async def install(
    ctx: FaultContext, role: Role, toxics: Sequence[Json], *, enabled: bool = True
) -> None:
    """Ledger record, then the toxics on the proxy before the role."""
    namespace = ctx.namespace_of(role.ref)
    ctx.record(UNDO, {"namespace": namespace, "service": role.ref.name})
    pod = await agent.ready_pod(ctx.kube, namespace, {_PROXY_LABEL: role.ref.name})
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
    pod = await agent.ready_pod(ctx.kube, namespace, {_PROXY_LABEL: role.ref.name})
    answer = await ctx.kube.pod_proxy(namespace, pod, _EXPIRY, "POST", "/renew", {"ttl": TTL_S})
    return bool(answer.status == 200 and answer.json()["renewed"])


@undo(UNDO)
async def remove_toxics(record: Record, world: World) -> None:
    """Heal: no toxic on any proxy before the Service. Nothing to do if the namespace is gone."""
    namespace, service = record.data["namespace"], record.data["service"]
    kube = await world.kube(record)
    pods = await kube.list("v1", "Pod", namespace, labels=f"{_PROXY_LABEL}={service}")
    for pod in pods:
        if pod.get("status", {}).get("phase") != "Running" or agent.deleting(pod):
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
        "metadata": agent.meta(name, namespace, labels),
        "data": {"proxies.json": json.dumps(proxies, indent=1)},
    }
    server = agent.container(
        "toxiproxy",
        image,
        ["toxiproxy-server", "-host", "0.0.0.0", "-config", "/etc/toxiproxy/proxies.json"],
        _API,
        "/version",
    )
    server["volumeMounts"] = [{"name": "config", "mountPath": "/etc/toxiproxy"}]
    expiry = agent.container(
        "expiry", image, ["python3", "/app/agent.py", str(_EXPIRY), "expiry"], _EXPIRY, "/healthz"
    )
    pod_spec = {
        "containers": [server, expiry],
        "volumes": [{"name": "config", "configMap": {"name": name}}],
    }
    return [config, agent.deployment(name, namespace, labels, pod_spec)]
