"""Plain objects in and out of an API server: reading, applying, changing, deleting.

No generated models: an object is what was sent or received, so a history or an undo record can
keep it as it is. `Kube` in `client.py` is what everybody uses; it adds the ways through the API
server to pods and nodes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from harness.errors import ManifestError
from harness.kube.discovery import Discovery, Resource
from harness.kube.eventually import eventually
from harness.kube.responses import Answer, ApiError
from harness.kube.transport import Wire
from harness.labels import MANAGER
from harness.manifest.variants import apply_order

Obj = dict[str, Any]
Objs = list[Obj]

_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE = 500


class Objects:
    """The objects of one API server."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.discovery = Discovery(wire)

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
        params = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        return _object(await self.wire.request("POST", path, params=params, body=dict(obj)))

    async def apply(
        self,
        obj: Mapping[str, Any],
        namespace: str | None = None,
        *,
        dry_run: bool = False,
    ) -> Obj:
        """Server-side apply under the harness' one field manager, forced, with unknown and
        duplicate fields refused. `namespace` is for objects that name none. `dry_run` asks what
        would come of it."""
        api_version, kind, name, own = _identity(obj)
        if not name:
            raise ManifestError(
                f"a {kind} without metadata.name cannot be applied",
                remedy="Give it a name; generateName works only with create.",
            )
        path = await self._path(api_version, kind, name, own or namespace)
        params = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict"}
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
                await self._established(obj)
        return applied

    async def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None,
        body: Any,
        *,
        strategic: bool = False,
    ) -> Obj:
        """A merge patch: what is None in `body` goes, lists are given whole; with `strategic`,
        items of those that have a key (containers, variables) are found by it and merged."""
        how = "strategic-merge-patch" if strategic else "merge-patch"
        path = await self._path(api_version, kind, name, namespace)
        params = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        answer = await self.wire.request(
            "PATCH",
            path,
            params=params,
            body=body,
            content_type=f"application/{how}+json",
            idempotent=True,
        )
        return _object(answer)

    async def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
    ) -> bool:
        """Asks for deletion, does not wait for it. False if it was not there.

        With `uid` another object of the same name is left alone (ApiError 409).
        """
        path = await self._path(api_version, kind, name, namespace)
        options = _delete_options(grace_seconds)
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
        options = _delete_options(grace_seconds)
        await self.wire.request("DELETE", path, params=selectors(labels, None), body=options)

    async def evict(self, pod: str, namespace: str) -> None:
        """Asks for the eviction of a pod, does not wait for its end. ApiError 429 where a
        PodDisruptionBudget refuses it."""
        meta = {"name": pod, "namespace": namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        path = await self._path("v1", "Pod", pod, namespace, "eviction")
        await self.wire.request("POST", path, body=body)

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

    async def _established(self, crd: Mapping[str, Any]) -> None:
        """Returns when objects of the new kind can be sent."""
        name, spec = crd["metadata"]["name"], crd["spec"]
        kind = (f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["kind"])

        async def served() -> bool:
            found = await self.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
            conditions = (found.get("status") or {}).get("conditions") or []
            state = {condition["type"]: condition["status"] for condition in conditions}
            if state.get("Established") != "True":
                raise AssertionError(f"not established: {conditions}")
            # Served a moment later than established.
            await self.discovery.refresh()
            return kind in {(each.api_version, each.kind) for each in await self.discovery.all()}

        await eventually(
            served, within=30, every=0.1, what=f"CustomResourceDefinition {name} to be served"
        )


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


def _delete_options(grace_seconds: int | None) -> Obj:
    options: Obj = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
    }
    if grace_seconds is not None:
        options["gracePeriodSeconds"] = grace_seconds
    return options


def _object(answer: Answer) -> Obj:
    parsed: Obj = answer.json()
    return parsed
