"""The pod of ours that measures, and that holds what a fault needs held; how to ask it.

Its program is the package `agent`, which has no part of the harness beside it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from harness.faults import own_pods
from harness.faults.base import FaultContext
from harness.history.facts import Json
from harness.kube.client import Kube
from harness.manifest.objects import Object, find, service_port
from harness.manifest.subject_file import Role

NAME = "agent"
PORT = 8476
COMMAND = ("python3", "-m", "agent")

_PROTOCOLS = {5432: "postgres", 3306: "mysql", 6379: "redis", 80: "http", 8080: "http"}


def beside(objects: Sequence[Object], ctx: FaultContext) -> list[Object]:
    """The objects with the agent; it is added once."""
    if own_pods.there(objects, "Pod", NAME, ctx):
        return list(objects)
    program = own_pods.container(NAME, ctx.images["agent"], [*COMMAND, str(PORT)])
    asked = own_pods.answering(program, PORT, "/healthz")
    return [*objects, own_pods.pod(ctx, NAME, {own_pods.PART: NAME}, [asked])]


def protocol_of(role: Role, objects: Sequence[Object]) -> str:
    """The role's declared protocol, else what its well-known port suggests, else `tcp`."""
    if role.protocol is not None:
        return role.protocol
    number = service_port(find(objects, role.ref), role.ref.port)["port"]
    return _PROTOCOLS.get(int(number), "tcp")


async def where(ctx: FaultContext, role: Role) -> dict[str, Any]:
    """Host, port and credentials of the role's Service, as the agent wants them."""
    namespace = ctx.namespace_of(role.ref)
    service = await ctx.kube.get("v1", "Service", role.ref.name, namespace)
    return {
        "protocol": protocol_of(role, [service]),
        "host": f"{role.ref.name}.{namespace}.svc",
        "port": service_port(service, role.ref.port)["port"],
        **await _credentials(ctx.kube, namespace, role),
    }


async def ask(ctx: FaultContext, method: str, path: str, body: Json | None = None) -> Json:
    """One call of the agent. Raises FaultError for a refusal."""
    result: Json = await own_pods.ask(ctx, NAME, PORT, method, path, body)
    return result


async def exchange(
    ctx: FaultContext, role: Role, *, payload_bytes: int = 1, timeout: float = 30.0
) -> Json:
    """One timed exchange with the role from our pod: ok, seconds, bytes, error and its kind."""
    query = {**await where(ctx, role), "bytes": payload_bytes, "timeout": timeout}
    if role.path:
        query["path"] = role.path
    return await ask(ctx, "POST", "/exchange", query)


async def _credentials(kube: Kube, namespace: str, role: Role) -> dict[str, str]:
    found = {"user": role.user, "dbname": role.dbname}
    if role.secret is not None:
        secret = await kube.get("v1", "Secret", role.secret, namespace)
        data = {k: base64.b64decode(v).decode() for k, v in (secret.get("data") or {}).items()}
        found["user"] = data.get(role.user_key) or role.user
        found["password"] = data.get(role.password_key)
    return {k: v for k, v in found.items() if v}
