"""The harness's own pod in a trial's namespace: it measures, and it holds what a fault needs held.

Its program is `agent/agent.py`; here is its Deployment, and how to ask it for something.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import FaultError
from harness.faults.base import FaultContext
from harness.history.facts import Json
from harness.kube.client import Kube
from harness.kube.eventually import eventually
from harness.manifest.objects import Object, find, name_of, namespace_of, service_port
from harness.manifest.subject_file import Role

PORT = 8476
LABEL = "resilience-harness.dev/part"

_NAME = "harness-agent"
_PROTOCOLS = {5432: "postgres", 3306: "mysql", 6379: "redis", 80: "http", 8080: "http"}


def beside(objects: Sequence[Object], namespace: str, ctx: FaultContext) -> list[Object]:
    """The objects with the agent in this namespace; it is added once."""
    for obj in objects:
        if obj["kind"] == "Deployment" and name_of(obj) == _NAME and namespace_of(obj) == namespace:
            return list(objects)
    return [*objects, _agent_deployment(namespace, ctx.images["agent"])]


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


async def ask(
    ctx: FaultContext, namespace: str, method: str, path: str, body: Json | None = None
) -> Json:
    """One call of the agent in a namespace. Raises FaultError for a refusal."""
    pod = await ready_pod(ctx.kube, namespace, {LABEL: "agent"})
    answer = await ctx.kube.pod_proxy(namespace, pod, PORT, method, path, body)
    if answer.status != 200:
        raise FaultError(
            f"the measuring pod {pod} answered {answer.status}: {answer.text[:200]}",
            remedy="read its log: kubectl logs deployment/harness-agent in the trial's namespace",
        )
    result: Json = answer.json()
    return result


async def exchange(
    ctx: FaultContext, role: Role, *, payload_bytes: int = 1, timeout: float = 30.0
) -> Json:
    """One timed exchange with the role from our pod: ok, seconds, bytes, error."""
    query = {**await where(ctx, role), "bytes": payload_bytes, "timeout": timeout}
    if role.path:
        query["path"] = role.path
    return await ask(ctx, ctx.namespace_of(role.ref), "POST", "/exchange", query)


async def ready_pod(kube: Kube, namespace: str, labels: Mapping[str, str]) -> str:
    """The name of a Ready pod with these labels; waits a little for one."""
    selector = ",".join(f"{k}={v}" for k, v in labels.items())

    async def look() -> str | None:
        for pod in await kube.list("v1", "Pod", namespace, labels=selector):
            conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
            if conditions.get("Ready") == "True" and not deleting(pod):
                return str(pod["metadata"]["name"])
        return None

    return str(await eventually(look, within=15.0, what=f"a Ready pod {selector} in {namespace}"))


def deleting(pod: Object) -> bool:
    """Whether a pod is on its way out."""
    return "deletionTimestamp" in pod["metadata"]


async def _credentials(kube: Kube, namespace: str, role: Role) -> dict[str, str]:
    found = {"user": role.user, "dbname": role.dbname}
    if role.secret is not None:
        secret = await kube.get("v1", "Secret", role.secret, namespace)
        data = {k: base64.b64decode(v).decode() for k, v in (secret.get("data") or {}).items()}
        found["user"] = data.get(role.user_key) or role.user
        found["password"] = data.get(role.password_key)
    return {k: v for k, v in found.items() if v}


def meta(name: str, namespace: str, labels: Mapping[str, str]) -> Json:
    """Metadata of an object of ours."""
    return {
        "name": name,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": "resilience-harness", **labels},
    }


def container(name: str, image: str, command: list[str], port: int, path: str) -> Json:
    """A container of ours, as restricted as Pod Security asks; ready when `path` answers."""
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


def deployment(name: str, namespace: str, labels: Mapping[str, str], pod_spec: Json) -> Object:
    """A Deployment of one pod."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(name, namespace, labels),
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


def _agent_deployment(namespace: str, image: str) -> Object:
    program = container("agent", image, ["python3", "/app/agent.py", str(PORT)], PORT, "/healthz")
    return deployment(_NAME, namespace, {LABEL: "agent"}, {"containers": [program]})
