"""`Kube`: what the harness asks of an API server, over plain dict objects.

No generated models: an object is what was sent or received, so a history or an undo record can
keep it as it is. Watching is in `watch.py`, waiting in `eventually.py`; transport, retries and
errors are in `wire.py`.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from harness.cluster import execute
from harness.cluster.discovery import Discovery, Resource
from harness.cluster.execute import ExecResult
from harness.cluster.wire import (
    Answer,
    ApiError,
    Stage,
    UnreachableError,
    Wire,
    error_of,
    open_wire,
)
from harness.errors import ClusterError, ManifestError
from harness.manifest.variants import apply_order

__all__ = [
    "FIELD_MANAGER",
    "Answer",
    "ApiError",
    "ExecResult",
    "Kube",
    "Obj",
    "Resource",
    "Stage",
    "UnreachableError",
]

Obj = dict[str, Any]
Objs = list[Obj]

FIELD_MANAGER = "resilience-harness"

_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE = 500


class Kube:
    """One API server. Every method raises `ApiError`, `UnreachableError` or, for a kind that is not
    served, `ManifestError`."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.discovery = Discovery(wire)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, kubeconfig: Path, context: str | None = None, *, patience: float = 15.0
    ) -> AsyncIterator[Kube]:
        """`patience` bounds the retries of one call, in seconds. Nothing is sent yet."""
        async with open_wire(kubeconfig, context, patience=patience) as wire:
            yield cls(wire)

    # Reading

    async def resource(self, api_version: str, kind: str) -> Resource:
        return await self.discovery.find(api_version, kind)

    async def get(
        self, api_version: str, kind: str, name: str, namespace: str | None = None
    ) -> Obj:
        path = await self._path(api_version, kind, name, namespace)
        return _object(await self.wire.request("GET", path))

    async def find(
        self, api_version: str, kind: str, name: str, namespace: str | None = None
    ) -> Obj | None:
        """Like `get`, but None if there is no such object."""
        try:
            return await self.get(api_version, kind, name, namespace)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> Objs:
        """Objects of one namespace or, without one, of all; `labels`, `fields`: selectors."""
        items, _ = await self.list_at(
            api_version,
            kind,
            namespace,
            labels=labels,
            fields=fields,
            metadata_only=metadata_only,
        )
        return items

    async def list_at(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> tuple[Objs, str]:
        """The objects and the resourceVersion to watch from."""
        resource = await self.resource(api_version, kind)
        path = resource.path(namespace=namespace)
        params = selectors(labels, fields) | {"limit": str(_PAGE)}
        accept = _METADATA_ONLY if metadata_only else "application/json"
        items: Objs = []
        while True:
            answer = await self.wire.request("GET", path, params=params, accept=accept)
            page = _object(answer)
            for item in page.get("items") or []:
                # Items of a list leave out what the list says once.
                item["apiVersion"], item["kind"] = resource.api_version, resource.kind
                items.append(item)
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion", ""))
            params = {**params, "continue": metadata["continue"]}

    # Changing

    async def create(self, obj: Mapping[str, Any], namespace: str | None = None) -> Obj:
        api_version, kind, _, own = _identity(obj)
        path = await self._path(api_version, kind, None, own or namespace)
        params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        return _object(await self.wire.request("POST", path, params=params, body=dict(obj)))

    async def apply(
        self,
        obj: Mapping[str, Any],
        namespace: str | None = None,
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Obj:
        """Server-side apply under the harness' one field manager, forced, with unknown and
        duplicate fields refused. `namespace` is for objects that name none."""
        api_version, kind, name, own = _identity(obj)
        if not name:
            raise ManifestError(
                f"a {kind} without metadata.name cannot be applied",
                remedy="Give it a name; generateName works only with create.",
            )
        path = await self._path(api_version, kind, name, own or namespace, subresource)
        params = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        if dry_run:
            params["dryRun"] = "All"
        body = copy.deepcopy(dict(obj))
        # What an API server wrote into an object read earlier may not be sent back in an apply.
        body.get("metadata", {}).pop("managedFields", None)
        answer = await self.wire.request(
            "PATCH",
            path,
            params=params,
            body=body,
            content_type="application/apply-patch+yaml",
            idempotent=True,
        )
        return _object(answer)

    async def apply_all(
        self, objects: Iterable[Mapping[str, Any]], namespace: str | None = None
    ) -> Objs:
        """Applies in an order in which each finds what it needs; the answers in that order."""
        applied: Objs = []
        for obj in apply_order(unfolded(objects)):
            applied.append(await self.apply(obj, namespace))
            if obj["kind"] == "CustomResourceDefinition":
                await self._established(obj["metadata"]["name"])
        return applied

    async def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None,
        body: Any,
        *,
        how: Literal["merge", "json", "strategic"] = "merge",
        subresource: str = "",
    ) -> Obj:
        path = await self._path(api_version, kind, name, namespace, subresource)
        params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        answer = await self.wire.request(
            "PATCH",
            path,
            params=params,
            body=body,
            content_type=_PATCH_TYPES[how],
            idempotent=how != "json",
        )
        return _object(answer)

    async def replace(self, obj: Mapping[str, Any], *, subresource: str = "") -> Obj:
        """PUT; with metadata.resourceVersion it is refused (409) if the object has changed."""
        api_version, kind, name, namespace = _identity(obj)
        path = await self._path(api_version, kind, name, namespace, subresource)
        params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        return _object(await self.wire.request("PUT", path, params=params, body=dict(obj)))

    async def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
        uid: str | None = None,
    ) -> bool:
        """Asks for deletion, does not wait for it. False if it was not there.

        With `uid` another object of the same name is left alone (ApiError 409).
        """
        path = await self._path(api_version, kind, name, namespace)
        options = _delete_options(grace_seconds, propagation)
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self.wire.request("DELETE", path, body=options)
        except ApiError as error:
            if error.not_found:
                return False
            raise
        return True

    async def delete_all(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        *,
        labels: str | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Asks for deletion of every object of a kind in a namespace."""
        path = await self._path(api_version, kind, None, namespace)
        options = _delete_options(grace_seconds, "Background")
        await self.wire.request("DELETE", path, params=selectors(labels, None), body=options)

    async def scale(
        self, api_version: str, kind: str, name: str, namespace: str, replicas: int
    ) -> Obj:
        """Sets replicas through the scale subresource, as `kubectl scale` does."""
        body = {"spec": {"replicas": replicas}}
        return await self.patch(api_version, kind, name, namespace, body, subresource="scale")

    async def evict(self, namespace: str, pod: str, *, grace_seconds: int | None = None) -> None:
        """Raises `ApiError` with status 429, stage admission, if a PodDisruptionBudget refuses."""
        eviction: Obj = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        }
        if grace_seconds is not None:
            eviction["deleteOptions"] = {"gracePeriodSeconds": grace_seconds}
        path = await self._path("v1", "Pod", pod, namespace, "eviction")
        await self.wire.request("POST", path, body=eviction, retry=False)

    # Through the API server to nodes, pods and services

    async def raw(self, path: str, *, params: Mapping[str, str] | None = None) -> Answer:
        """GET of a path such as /readyz or /metrics, taken as it is: a 500 of /readyz is data."""
        return await self.wire.request(
            "GET", path, params=params, accept="*/*", raise_for_status=False
        )

    async def node_proxy(self, node: str, path: str) -> Answer:
        """GET from a kubelet, for example /metrics/cadvisor or /stats/summary."""
        return await self._proxy("GET", f"/api/v1/nodes/{node}/proxy/{path.lstrip('/')}", None)

    async def pod_proxy(
        self,
        namespace: str,
        pod: str,
        port: int,
        method: str = "GET",
        path: str = "/",
        json: Any = None,
    ) -> Answer:
        """One HTTP exchange with a pod. Its answer is returned whatever its status; only the API
        server's own failure to reach it raises."""
        where = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path.lstrip('/')}"
        return await self._proxy(method, where, json)

    async def service_proxy(
        self,
        namespace: str,
        service: str,
        port: int | str,
        method: str = "GET",
        path: str = "/",
        json: Any = None,
    ) -> Answer:
        """Like `pod_proxy`, to one of a Service's endpoints."""
        where = f"/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy"
        return await self._proxy(method, f"{where}/{path.lstrip('/')}", json)

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        previous: bool = False,
        tail: int | None = None,
        limit_bytes: int | None = None,
        timestamps: bool = False,
    ) -> str:
        params: dict[str, str] = {}
        if container is not None:
            params["container"] = container
        if previous:
            params["previous"] = "true"
        if tail is not None:
            params["tailLines"] = str(tail)
        if limit_bytes is not None:
            params["limitBytes"] = str(limit_bytes)
        if timestamps:
            params["timestamps"] = "true"
        path = await self._path("v1", "Pod", pod, namespace, "log")
        return (await self.wire.request("GET", path, params=params, accept="*/*")).text

    async def exec(
        self,
        namespace: str,
        pod: str,
        container: str | None,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout: float = 30.0,
    ) -> ExecResult:
        """Runs a command in a container to its end; a non-zero exit code is a result."""
        path = await self._path("v1", "Pod", pod, namespace, "exec")
        return await execute.run(
            self.wire, path, container=container, argv=argv, stdin=stdin, timeout=timeout
        )

    # Identity

    async def uid(self) -> str:
        """The UID of namespace kube-system: the identity of a cluster."""
        return str((await self.get("v1", "Namespace", "kube-system"))["metadata"]["uid"])

    # Inside

    async def _path(
        self,
        api_version: str,
        kind: str,
        name: str | None,
        namespace: str | None,
        subresource: str = "",
    ) -> str:
        resource = await self.resource(api_version, kind)
        if resource.namespaced and namespace is None:
            raise ManifestError(
                f"{kind} {name or ''} names no namespace, and the kind is namespaced",
                remedy="Set metadata.namespace, or pass the namespace.",
            )
        return resource.path(name, namespace=namespace, subresource=subresource)

    async def _proxy(self, method: str, path: str, json: Any) -> Answer:
        answer = await self.wire.request(
            method, path, body=json, accept="*/*", retry=False, raise_for_status=False
        )
        if answer.status >= 400 and b'"kind":"Status"' in answer.body:
            raise error_of(f"{method} {path}", answer)
        return answer

    async def _established(self, name: str) -> None:
        deadline = asyncio.get_running_loop().time() + 30
        while True:
            crd = await self.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
            conditions = (crd.get("status") or {}).get("conditions") or []
            state = {condition["type"]: condition["status"] for condition in conditions}
            if state.get("Established") == "True":
                break
            if asyncio.get_running_loop().time() > deadline:
                raise ClusterError(
                    f"CustomResourceDefinition {name} was not established in 30 s: {conditions}",
                    remedy="Correct the definition; the conditions name what is wrong.",
                )
            await asyncio.sleep(0.1)
        # Served a moment later than established.
        kind = crd["spec"]["names"]["kind"]
        version = f"{crd['spec']['group']}/{crd['spec']['versions'][0]['name']}"
        while not any(
            (found.api_version, found.kind) == (version, kind)
            for found in await self._fresh_resources()
        ):
            if asyncio.get_running_loop().time() > deadline:
                raise ClusterError(
                    f"CustomResourceDefinition {name} is established but {kind} is not served",
                    remedy="See whether the API server is well (`/readyz?verbose`).",
                )
            await asyncio.sleep(0.1)

    async def _fresh_resources(self) -> Sequence[Resource]:
        await self.discovery.refresh()
        return await self.discovery.all()


def unfolded(objects: Iterable[Mapping[str, Any]]) -> Objs:
    """Plain objects; those of a `List` in its place."""
    flat: Objs = []
    for obj in objects:
        if obj.get("kind") == "List":
            flat.extend(obj.get("items") or [])
        else:
            flat.append(dict(obj))
    return flat


def selectors(labels: str | None, fields: str | None) -> dict[str, str]:
    """Query parameters of a list or watch."""
    params = {}
    if labels:
        params["labelSelector"] = labels
    if fields:
        params["fieldSelector"] = fields
    return params


def _identity(obj: Mapping[str, Any]) -> tuple[str, str, str, str | None]:
    metadata = obj.get("metadata") or {}
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if not api_version or not kind:
        raise ManifestError(
            f"an object lacks {'apiVersion' if not api_version else 'kind'}"
            f" (name: {metadata.get('name', 'none')})",
            remedy="Every object needs apiVersion, kind and metadata.name.",
        )
    return api_version, kind, str(metadata.get("name") or ""), metadata.get("namespace")


def _delete_options(grace_seconds: int | None, propagation: str) -> Obj:
    options: Obj = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": propagation,
    }
    if grace_seconds is not None:
        options["gracePeriodSeconds"] = grace_seconds
    return options


def _object(answer: Answer) -> Obj:
    parsed: Obj = answer.json()
    return parsed
