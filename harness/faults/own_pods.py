"""The harness's own pods: in a namespace of their own, where nothing of the subject's meets them.

No quota, default, policy or Pod Security of the subject counts there. They have requests and limits
and are admitted by `restricted`. Bare pods on a node that no fault touches: no controller comes
between, so what refuses one says so at once, and an address stays what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import FaultError, HarnessError, WaitTimeout
from harness.faults.base import FaultContext
from harness.history.facts import Json
from harness.kube.client import Kube
from harness.kube.eventually import eventually
from harness.kube.responses import Answer
from harness.labels import DOMAIN, MANAGED_BY, MANAGER
from harness.manifest.objects import Object, name_of, namespace_of
from harness.undo import namespaces

PART = f"{DOMAIN}/part"
"""Label of every object of ours: which part of the harness it is."""

_UP_S = 60.0
_AGAIN_S = 15.0
"""A container of ours that died is back by then."""
_COMING = ("ContainerCreating", "PodInitializing")
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def meta(ctx: FaultContext, name: str, labels: Mapping[str, str]) -> Json:
    """Metadata of an object of ours."""
    return {
        "name": name,
        "namespace": ctx.own_namespace,
        "labels": {MANAGED_BY: MANAGER, **labels},
    }


def container(name: str, image: str, command: list[str]) -> Json:
    """A container of ours, as restricted as Pod Security asks.

    The limits are far above what is used: a proxy that is throttled would be a fault by itself.
    """
    return {
        "name": name,
        "image": image,
        "command": command,
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "2", "memory": "512Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def answering(container_: Json, port: int, path: str) -> Json:
    """The container, ready once it answers there."""
    probe = {"httpGet": {"path": path, "port": port}, "periodSeconds": 1}
    return {**container_, "ports": [{"containerPort": port}], "readinessProbe": probe}


def pod(
    ctx: FaultContext,
    name: str,
    labels: Mapping[str, str],
    containers: list[Json],
    volumes: Sequence[Json] = (),
) -> Object:
    """A pod of ours."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(ctx, name, labels),
        "spec": {
            "nodeName": ctx.cluster.entry_node.name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            # Our pods hold nothing that is worth waiting for at clean-up.
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": containers,
            "volumes": list(volumes),
        },
    }


def deleting(pod_: Object) -> bool:
    """Whether a pod is on its way out."""
    return "deletionTimestamp" in pod_["metadata"]


def ours(objects: Sequence[Object], ctx: FaultContext) -> list[Object]:
    """Those of the objects that stand in our namespace."""
    return [obj for obj in objects if namespace_of(obj) == ctx.own_namespace]


def there(objects: Sequence[Object], kind: str, name: str, ctx: FaultContext) -> bool:
    """Whether an object of ours is among these already."""
    return any(o["kind"] == kind and name_of(o) == name for o in ours(objects, ctx))


async def up(ctx: FaultContext, objects: Sequence[Object]) -> dict[str, str]:
    """Our namespace with these objects, recorded first; addresses of the pods, once all are ready.

    Raises FaultError in the words of whoever refused one, or of what a pod waits for.
    """
    mine = ours(objects, ctx)
    if not mine:
        return {}
    await namespaces.create(
        ctx.kube,
        ctx.ledger,
        cluster=ctx.cluster,
        name=ctx.own_namespace,
        trial=ctx.trial,
        labels=_RESTRICTED,
    )
    names = [name_of(obj) for obj in mine if obj["kind"] == "Pod"]
    try:
        await ctx.kube.apply_all(mine)
        found = await asyncio.gather(
            *(ready(ctx.kube, ctx.own_namespace, name, within=_UP_S) for name in names)
        )
    except HarnessError as error:
        raise FaultError(
            f"a pod of the harness's own did not come up: {error.message}", remedy=error.remedy
        ) from error
    return {name: str(each["status"]["podIP"]) for name, each in zip(names, found, strict=True)}


async def ready(kube: Kube, namespace: str, name: str, *, within: float = _AGAIN_S) -> Object:
    """A pod of ours once it is Ready. Raises FaultError with what it waits for, if it is not."""
    last: Object = {}

    async def look() -> bool:
        last.update(await kube.get("v1", "Pod", name, namespace))
        if last["status"].get("phase") == "Failed" or _stuck(last):
            raise FaultError(f"pod {namespace}/{name}: {why(last)}", remedy=_REMEDY)
        conditions = {c["type"]: c["status"] for c in last["status"].get("conditions", [])}
        return conditions.get("Ready") == "True"

    try:
        await eventually(look, within=within, what=f"pod {namespace}/{name} is Ready")
    except WaitTimeout as error:
        raise FaultError(
            f"pod {namespace}/{name} is not ready after {within:g} s: {why(last)}", remedy=_REMEDY
        ) from error
    return last


async def ask(
    ctx: FaultContext, name: str, port: int, method: str, path: str, body: Json | None = None
) -> Any:
    """One HTTP exchange with a pod of ours, as JSON. Raises FaultError for a refusal."""
    await ready(ctx.kube, ctx.own_namespace, name)
    answer: Answer = await ctx.kube.pod_proxy(ctx.own_namespace, name, port, method, path, body)
    if answer.status != 200:
        raise FaultError(
            f"{method} {path} of pod {name} gave {answer.status}: {answer.text[:200]}",
            remedy=f"read its log: kubectl -n {ctx.own_namespace} logs {name}",
        )
    return answer.json()


def why(pod_: Object) -> str:
    """What a pod waits for or failed of, in the words of the kubelet or the scheduler."""
    status = pod_.get("status") or {}
    said = [f"{status['reason']}: {status.get('message', '')}"] if status.get("reason") else []
    for each in status.get("containerStatuses", []):
        state = each.get("state") or {}
        told = state.get("waiting") or state.get("terminated")
        if told:
            said.append(f"{each['name']}: {told.get('reason')} {told.get('message', '')}".strip())
    said += [
        f"{condition['type']}: {condition.get('message', '')}"
        for condition in status.get("conditions", [])
        if condition["status"] != "True" and condition.get("message")
    ]
    return "; ".join(said) or f"phase {status.get('phase', 'unknown')}, and nobody says why"


def _stuck(pod_: Object) -> bool:
    """Whether a container waits for something that does not come by itself."""
    waiting = [
        (each.get("state") or {}).get("waiting")
        for each in pod_["status"].get("containerStatuses", [])
    ]
    return any(w is not None and w.get("reason") not in _COMING for w in waiting)


_REMEDY = (
    "this is not the subject's fault: see `kubectl -n NAMESPACE describe pod` while it lasts; "
    "`harness doctor` checks the registry and the room on the nodes"
)
