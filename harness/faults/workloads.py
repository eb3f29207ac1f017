"""What the faults on a workload share: its live object, its pods, and an HTTP question to them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import FaultError
from harness.faults.base import SUPPORTED, FaultContext, Support
from harness.kube.client import ApiError, UnreachableError
from harness.manifest.interpose import direct_name
from harness.manifest.objects import Object, containers, find, replicas
from harness.manifest.subject_file import Role

API = "apps/v1"
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
ANSWER_S = 2.0
"""A process that takes longer than this for a probe's path does not answer."""


@dataclass(frozen=True)
class Question:
    """What a probe asks a container over HTTP, and how many seconds it waits for the answer."""

    container: str
    port: int
    path: str
    timeout_s: float


def support(role: Role) -> Support:
    """Whether the role is a workload whose pods can be told from others."""
    if role.ref.kind not in KINDS:
        return Support(
            "unsupported", f"{role.ref} is no workload; bind the role to one of {', '.join(KINDS)}"
        )
    return SUPPORTED


def support_pods(role: Role, objects: Sequence[Object], pods: int) -> Support:
    """As `support`, and it declares at least so many pods, if it declares a number."""
    found = support(role)
    have = replicas(find(objects, role.ref)) if found.state == "supported" else None
    if have is not None and have < pods:
        return Support("unsupported", f"{role.ref} has {have} pods, {pods} are to be hit")
    return found


def support_http(role: Role, objects: Sequence[Object]) -> Support:
    """As `support`, and its pods answer HTTP, by what their probes ask."""
    found = support(role)
    if found.state == "supported" and question(find(objects, role.ref)) is None:
        return Support(
            "unsupported",
            f"no container of {role.ref} has an HTTP probe, so nothing can be asked of its pods",
        )
    return found


def question(workload: Object) -> Question | None:
    """What the first HTTP probe of a workload asks; None without such a probe."""
    for container in containers(workload, "app"):
        ports = {p.get("name"): p["containerPort"] for p in container.get("ports", [])}
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            asked = (container.get(probe) or {}).get("httpGet")
            if asked:
                port = ports.get(asked["port"], asked["port"])
                timeout = float(container[probe].get("timeoutSeconds") or 1)
                return Question(container["name"], int(port), asked.get("path") or "/", timeout)
    return None


async def live(ctx: FaultContext, role: Role) -> Object:
    """The workload as the cluster has it."""
    return await ctx.kube.get(API, role.ref.kind, role.ref.name, ctx.namespace_of(role.ref))


async def pods(ctx: FaultContext, role: Role, *, going: bool = False) -> list[Object]:
    """Its pods, oldest first; of a Service, those that it selects. `going`: also those that are
    being deleted."""
    labels = await selector(ctx, role)
    found = await ctx.kube.list("v1", "Pod", ctx.namespace_of(role.ref), labels=labels)
    staying = [pod for pod in found if going or "deletionTimestamp" not in pod["metadata"]]
    return sorted(staying, key=lambda pod: pod["metadata"]["creationTimestamp"])


async def selector(ctx: FaultContext, role: Role) -> str:
    """The labels by which its pods are found, as the API wants them."""
    if role.ref.kind == "Service":
        labels = await _selected(ctx, role)
    else:
        labels = (await live(ctx, role))["spec"]["selector"].get("matchLabels") or {}
    if not labels:
        # An empty selector would mean every pod of the namespace.
        raise FaultError(
            f"{role.ref} does not select its pods by plain labels",
            remedy="bind the role to a Service or workload that does",
        )
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


async def others(ctx: FaultContext, target: str) -> dict[str, str]:
    """The pods behind all roles but this one, which may use it: names by their addresses."""
    found: dict[str, str] = {}
    own = {pod["metadata"]["uid"] for pod in await pods(ctx, ctx.role(target))}
    for name, role in ctx.roles.items():
        if name == target or role.ref.kind not in (*KINDS, "Service"):
            continue
        for pod in await pods(ctx, role):
            if pod["metadata"]["uid"] not in own:
                for each in pod["status"].get("podIPs") or ():
                    found[each["ip"]] = pod["metadata"]["name"]
    return found


async def _selected(ctx: FaultContext, role: Role) -> dict[str, str]:
    """What a Service selects; of one that leads to a proxy, what it did before."""
    namespace = ctx.namespace_of(role.ref)
    service = await ctx.kube.get("v1", "Service", role.ref.name, namespace)
    if not service["spec"].get("selector"):
        past = await ctx.kube.find("v1", "Service", direct_name(role.ref.name), namespace)
        service = past or service
    return dict(service["spec"].get("selector") or {})


def status_of(pod: Object, container: str) -> Object:
    """The status of one container; empty while it has none."""
    for each in pod["status"].get("containerStatuses", []):
        if each["name"] == container:
            return dict(each)
    return {}


async def answers(ctx: FaultContext, pod: Object, asked: Question) -> str:
    """`answered`, `refused` or `silent`: what comes of one HTTP request to the pod, past Services.

    Any status counts as an answer. `refused`: nobody listens.
    """
    meta = pod["metadata"]
    try:
        async with asyncio.timeout(ANSWER_S):
            await ctx.kube.pod_proxy(meta["namespace"], meta["name"], asked.port, "GET", asked.path)
    except TimeoutError:
        return "silent"
    except (ApiError, UnreachableError) as error:
        return "silent" if "i/o timeout" in str(error) else "refused"
    return "answered"
