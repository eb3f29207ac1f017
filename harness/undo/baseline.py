"""What a cluster looked like before a trial and after it, and what differs: residue.

A snapshot holds what has a lasting identity: objects by UID and version of their spec, and what
is set on nodes. What Kubernetes itself makes and changes all the time (events, leases, endpoints,
whatever a controller owns) is left out. Taking one costs one metadata-only list for each kind, all
at once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import HarnessError
from harness.kube.client import ApiError, Kube, Obj, Resource
from harness.labels import MANAGED_BY, MANAGER, TRIAL, value
from harness.nodes.nodes import NodeCommands
from harness.nodes.traces import FILTERS, traces

_EVER_CHANGING = frozenset(
    {
        ("", "Event"),
        ("events.k8s.io", "Event"),
        ("coordination.k8s.io", "Lease"),
        ("discovery.k8s.io", "EndpointSlice"),
        ("", "Endpoints"),
        ("", "ComponentStatus"),
        ("metrics.k8s.io", "NodeMetrics"),
        ("metrics.k8s.io", "PodMetrics"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
        ("", "Node"),
        # Kubelets rewrite it whenever a storage driver's node plugin (re)starts.
        ("storage.k8s.io", "CSINode"),
    }
)
# The API server's own identities, renewed by itself.
_OWN_CONFIG_MAPS = frozenset({"kube-root-ca.crt"})

Key = tuple[str, str, str, str]
"""API group, kind, namespace (empty if cluster-scoped), name."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One object: identity, version of what was declared, and whose it is."""

    uid: str
    version: str
    trial: str


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """What faults change on a Node object, and in the node. `conditions`: type to status.

    `silent`: why the node could not be asked for its traces; empty if it could.
    """

    conditions: Mapping[str, str]
    taints: tuple[str, ...]
    unschedulable: bool
    labels: Mapping[str, str]
    traces: frozenset[str]
    silent: str = ""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    objects: Mapping[Key, Seen]
    nodes: Mapping[str, NodeState]


@dataclass(frozen=True, kw_only=True)
class ResidueScope:
    """What a trial's lease covers: with a shared lease only what is its own, by its name."""

    trial: str
    exclusive: bool


What = Literal["left over", "missing", "replaced", "changed"]


@dataclass(frozen=True, kw_only=True)
class Residue:
    """One difference; `subject` is `Kind/name` (with `in NAMESPACE`), `detail` what differs."""

    what: What
    subject: str
    detail: str = field(default="")

    def __str__(self) -> str:
        return f"{self.what}: {self.subject}" + (f" ({self.detail})" if self.detail else "")


async def snapshot(kube: Kube, nodes: NodeCommands) -> Snapshot:
    """The state now, of everything that can be listed, and of the nodes within."""
    await kube.discovery.refresh()
    resources = [
        resource
        for resource in await kube.discovery.all()
        if resource.preferred
        and "list" in resource.verbs
        and (_group(resource.api_version), resource.kind) not in _EVER_CHANGING
    ]
    listed, found = await asyncio.gather(
        asyncio.gather(*(_listed(kube, resource) for resource in resources)),
        kube.list("v1", "Node"),
    )
    names = [node["metadata"]["name"] for node in found]
    within = await asyncio.gather(*(_within(nodes, name) for name in names))
    return Snapshot(
        objects={key: seen for each in listed for key, seen in each},
        nodes={
            name: _node_state(node, there)
            for name, node, there in zip(names, found, within, strict=True)
        },
    )


def compare(before: Snapshot, after: Snapshot, scope: ResidueScope) -> list[Residue]:
    """What is not as it was, as far as the trial answers for it."""
    found: list[Residue] = []
    for key, seen in after.objects.items():
        was = before.objects.get(key)
        if was is None:
            if _answers(scope, key, seen):
                found.append(Residue(what="left over", subject=_subject(key)))
        elif was.uid != seen.uid:
            if _answers(scope, key, seen):
                found.append(Residue(what="replaced", subject=_subject(key), detail="another UID"))
        elif was.version != seen.version and _answers(scope, key, seen):
            detail = f"{was.version} -> {seen.version}"
            found.append(Residue(what="changed", subject=_subject(key), detail=detail))
    found += [
        Residue(what="missing", subject=_subject(key))
        for key, seen in before.objects.items()
        if key not in after.objects and _answers(scope, key, seen)
    ]
    if scope.exclusive:
        found += _nodes_compared(before.nodes, after.nodes)
    return found + _traces_compared(before.nodes, after.nodes, scope)


def _answers(scope: ResidueScope, key: Key, seen: Seen) -> bool:
    _, kind, namespace, name = key
    own = (
        seen.trial == scope.trial
        or name.endswith(f"-{scope.trial}")
        or namespace.endswith(f"-{scope.trial}")
    )
    # With an exclusive lease nobody else may have changed anything.
    return own or (scope.exclusive and not (kind == "Namespace" and seen.trial))


def _traces_compared(
    before: Mapping[str, NodeState], after: Mapping[str, NodeState], scope: ResidueScope
) -> list[Residue]:
    """What came into nodes, and packet filters that went; with others about, what names the trial.

    Guards and charges of others may have been about to end. A node that cannot be asked any more
    hides who knows what, whoever's it is.
    """
    found: list[Residue] = []
    own = re.compile(rf"\b{re.escape(scope.trial)}\b")
    for name in before.keys() & after.keys():
        subject, old, new = f"Node/{name}", before[name].traces, after[name].traces
        if after[name].silent:
            detail = f"cannot be asked any more: {after[name].silent}"
            found.append(Residue(what="changed", subject=subject, detail=detail))
            continue
        gone = [line for line in sorted(old - new) if line.startswith(FILTERS)]
        differs: dict[What, list[str]] = {"left over": sorted(new - old), "missing": gone}
        for what, lines in differs.items():
            found += [
                Residue(what=what, subject=subject, detail=line)
                for line in lines
                if scope.exclusive or own.search(line)
            ]
    return found


def _nodes_compared(
    before: Mapping[str, NodeState], after: Mapping[str, NodeState]
) -> list[Residue]:
    found = [
        Residue(what="missing", subject=f"Node/{name}") for name in before if name not in after
    ]
    for name, now in after.items():
        was = before.get(name)
        if was is None:
            found.append(Residue(what="left over", subject=f"Node/{name}"))
            continue
        for aspect in ("conditions", "taints", "unschedulable", "labels"):
            old, new = getattr(was, aspect), getattr(now, aspect)
            if old != new:
                found.append(
                    Residue(
                        what="changed",
                        subject=f"Node/{name}",
                        detail=f"{aspect}: {_difference(old, new)}",
                    )
                )
    return found


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        return "; ".join(f"{key}: {old.get(key)!r} -> {new.get(key)!r}" for key in keys)
    return f"{old!r} -> {new!r}"


async def _listed(kube: Kube, resource: Resource) -> list[tuple[Key, Seen]]:
    try:
        items = await kube.list(resource.api_version, resource.kind, metadata_only=True)
    except ApiError as error:
        # Its definition went since discovery, or an aggregated API server is away: whether that
        # is residue shows in the CustomResourceDefinition or APIService itself.
        if error.status in (404, 405, 503):
            return []
        raise
    group = _group(resource.api_version)
    return [
        (
            (
                group,
                resource.kind,
                str(item["metadata"].get("namespace") or ""),
                item["metadata"]["name"],
            ),
            _seen(item),
        )
        for item in items
        if not _follows_another(item)
    ]


def _follows_another(item: Obj) -> bool:
    """Made by a controller for an owner, so it comes and goes with that one."""
    owned = any(owner.get("controller") for owner in item["metadata"].get("ownerReferences") or [])
    return owned or (item["kind"] == "ConfigMap" and item["metadata"]["name"] in _OWN_CONFIG_MAPS)


def _seen(item: Obj) -> Seen:
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    return Seen(
        uid=metadata["uid"],
        version=_version(metadata),
        trial=(value(labels, TRIAL) or "") if labels.get(MANAGED_BY) == MANAGER else "",
    )


def _version(metadata: Obj) -> str:
    """Changes with what is declared, not with status: the generation, or for kinds without one the
    last writer of anything but status, and when."""
    if metadata.get("generation"):
        return f"generation {metadata['generation']}"
    writes = [
        (entry.get("time") or "", entry.get("manager") or "")
        for entry in metadata.get("managedFields") or []
        if not entry.get("subresource")
    ]
    if not writes:
        return ""
    time, manager = max(writes)
    return f"written by {manager} at {time}"


async def _within(nodes: NodeCommands, node: str) -> tuple[frozenset[str], str]:
    """The traces in a node, and why there are none if it gave no answer."""
    try:
        return await traces(nodes, node), ""
    except HarnessError as error:
        return frozenset(), error.message


def _node_state(node: Obj, within: tuple[frozenset[str], str]) -> NodeState:
    spec, status = node["spec"], node.get("status") or {}
    return NodeState(
        conditions={
            condition["type"]: condition["status"] for condition in status.get("conditions") or []
        },
        taints=tuple(
            sorted(
                f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
                for taint in spec.get("taints") or []
            )
        ),
        unschedulable=bool(spec.get("unschedulable")),
        labels=dict(node["metadata"].get("labels") or {}),
        traces=within[0],
        silent=within[1],
    )


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _subject(key: Key) -> str:
    _, kind, namespace, name = key
    return f"{kind}/{name}" + (f" in {namespace}" if namespace else "")
