"""What the faults on a Service share: a Toxiproxy that stands in the path from the start.

The role's Service keeps its name and leads to the proxy instead of the dependency's pods, before
any pod of the subject runs. So the control run takes the same way, connections that an application
keeps in a pool are hit like new ones, and the proxy knows who came through it: without a connection
of the subject's own nothing was tried. Measurements come from a pod of ours that talks the
dependency's own protocol through the same Service.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.errors import FaultError, ManifestError
from harness.faults import agent_pod, own_pods, workloads
from harness.faults.base import SUPPORTED, FaultContext, Met, Support
from harness.history.facts import Json
from harness.labels import DOMAIN
from harness.manifest.interpose import Interposed, Proxy, Route, Unsupported, interpose
from harness.manifest.objects import Object, find, service_port
from harness.manifest.subject_file import Role
from harness.manifest.wiring import callers_of
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "toxics"
TTL_S = 30.0
"""Toxics end by themselves this long after they were last renewed; each measurement renews them."""
LATELY_S = 5.0
"""A connection was seen if it is open, or was made this shortly before; seconds."""

_PROXY_LABEL = f"{DOMAIN}/proxy-of"
_PORT = 8475


def support(role: Role, objects: Sequence[Object], *, speed: bool = False) -> Support:
    """Whether a proxy can stand before the role, and its exchanges can be timed (`speed`).

    Degraded where nobody is seen to use the role's Service: a trial would only show that.
    """
    if role.ref.kind != "Service":
        return Support(
            "unsupported", f"{role.ref} is no Service; only a Service can be given a proxy"
        )
    try:
        tried = interpose(objects, role.ref, proxy=_proxy(role, "harness"))
    except ManifestError as error:
        return Support("unsupported", error.message)
    if isinstance(tried, Unsupported):
        return Support("unsupported", tried.reason)
    if agent_pod.protocol_of(role, objects) == "tcp" and speed:
        return Support(
            "unsupported",
            f"the protocol of {role.ref} is not known, so its speed cannot be measured; name it: "
            'protocol = "postgres" | "mysql" | "redis" | "http"',
        )
    if not callers_of(objects, find(objects, role.ref)):
        return Support(
            "degraded",
            f"nothing in the manifests (environment, arguments, files) speaks of {role.ref}; "
            "unless the application knows the name by itself, a trial will find that it is unused",
        )
    return SUPPORTED


def stand_in_path(objects: Sequence[Object], role: Role, ctx: FaultContext) -> list[Object]:
    """The objects with a proxy before the role's Service and a measuring pod beside it.

    A second fault on the same Service finds the proxy there and adds nothing.
    """
    proxy = _proxy(role, ctx.own_namespace)
    if own_pods.there(objects, "Pod", proxy.name, ctx):
        return list(objects)
    result = interpose(objects, role.ref, proxy=proxy)
    if isinstance(result, Unsupported):
        raise FaultError(
            f"no proxy can stand before {role.ref}: {result.reason}",
            remedy="give the role another Service, or leave this scenario out",
        )
    assert isinstance(result, Interposed)
    return agent_pod.beside([*result.objects, *_objects(proxy, role, result.routes, ctx)], ctx)


async def install(
    ctx: FaultContext, role: Role, toxics: Sequence[Json], *, enabled: bool = True
) -> None:
    """Ledger record, then the toxics on the proxy before the role."""
    ctx.record(UNDO, {"namespace": ctx.own_namespace, "service": role.ref.name})
    body = {
        "proxy": await _route_name(ctx, role),
        "toxics": list(toxics),
        "enabled": enabled,
        "ttl": TTL_S,
    }
    await _ask(ctx, role, "PUT", "/toxics", body)


async def renew(ctx: FaultContext, role: Role) -> bool:
    """Keep the toxics for another `TTL_S`; False if they are gone already."""
    return bool((await _ask(ctx, role, "POST", "/renew", {"ttl": TTL_S}))["renewed"])


async def met(ctx: FaultContext, target: str) -> tuple[Met, ...]:
    """The subject's own pods that have connections through the proxy, or made some lately.

    The subject's own are the pods behind its other roles; whoever else uses the dependency (an
    exporter, another application) is not what is judged.
    """
    role = ctx.role(target)
    path = f"/clients?proxy={await _route_name(ctx, role)}&within={LATELY_S:g}"
    clients: dict[str, int] = await _ask(ctx, role, "GET", path)
    users = await workloads.others(ctx, target)
    seen = [
        Met(pod, f"{clients[ip]} connections of pod {pod} through the proxy", clients[ip])
        for ip, pod in sorted(users.items(), key=lambda item: item[1])
        if ip in clients
    ]
    asked = ", ".join(sorted(set(users.values()))) or "any other role"
    nobody = Met(asked, f"no connection of {asked} came to {role.ref}", 0)
    return tuple(seen) or (nobody,)


@undo(UNDO)
async def remove_toxics(record: Record, world: World) -> None:
    """Heal: no toxic on any proxy before the Service. Nothing to do if the namespace is gone."""
    namespace, service = record.data["namespace"], record.data["service"]
    kube = await world.kube(record)
    for pod in await kube.list("v1", "Pod", namespace, labels=f"{_PROXY_LABEL}={service}"):
        if pod.get("status", {}).get("phase") != "Running" or own_pods.deleting(pod):
            continue
        name = pod["metadata"]["name"]
        answer = await kube.pod_proxy(namespace, name, _PORT, "DELETE", "/toxics")
        if answer.status != 200 or any(p["toxics"] for p in answer.json().values()):
            raise FaultError(
                f"toxics are still on {name}: {answer.status} {answer.text[:200]}",
                remedy=f"delete the pod: kubectl -n {namespace} delete pod {name}",
            )


def _proxy(role: Role, own_namespace: str) -> Proxy:
    return Proxy(
        namespace=own_namespace,
        name=f"proxy-{role.ref.name}.{role.ref.namespace}",
        labels={own_pods.PART: "proxy", _PROXY_LABEL: role.ref.name},
    )


async def _ask(
    ctx: FaultContext, role: Role, method: str, path: str, body: Json | None = None
) -> Json:
    name = _proxy(role, ctx.own_namespace).name
    answer: Json = await own_pods.ask(ctx, name, _PORT, method, path, body)
    return answer


async def _route_name(ctx: FaultContext, role: Role) -> str:
    service = await ctx.kube.get("v1", "Service", role.ref.name, ctx.namespace_of(role.ref))
    return _of_port(role, int(service_port(service, role.ref.port)["port"]))


def _of_port(role: Role, port: int) -> str:
    return f"{role.ref.name}-{port}"


def _objects(proxy: Proxy, role: Role, routes: Sequence[Route], ctx: FaultContext) -> list[Object]:
    proxies = [
        {
            "name": _of_port(role, route.port),
            "listen": f"0.0.0.0:{route.listen}",
            "upstream": route.upstream,
            "enabled": True,
        }
        for route in routes
    ]
    config: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": own_pods.meta(ctx, proxy.name, proxy.labels),
        "data": {"proxies.json": json.dumps(proxies, indent=1)},
    }
    command = [*agent_pod.COMMAND, str(_PORT), "proxy"]
    program = own_pods.container("proxy", ctx.images["agent"], command)
    program["volumeMounts"] = [{"name": "config", "mountPath": "/etc/toxiproxy"}]
    pod = own_pods.pod(
        ctx,
        proxy.name,
        proxy.labels,
        [own_pods.answering(program, _PORT, "/healthz")],
        [{"name": "config", "configMap": {"name": proxy.name}}],
    )
    return [config, pod]
