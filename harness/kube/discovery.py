"""Which kinds an API server serves, under which paths. Nothing here changes anything."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from harness.errors import ManifestError
from harness.kube.transport import Wire

_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind in one version, as served."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]
    preferred: bool
    """Whether this version is the group's first: the one to list an object only once."""

    def path(
        self, name: str | None = None, *, namespace: str | None = None, subresource: str = ""
    ) -> str:
        """Path of one object, or of the collection; without a namespace: of all namespaces."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        parts = [root + self.api_version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=":"))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


class Discovery:
    """What is served, read once and again when a kind is asked for that was not there."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._resources: dict[tuple[str, str], Resource] = {}

    async def find(self, api_version: str, kind: str) -> Resource:
        """Raises `ManifestError` naming the kind if the cluster does not serve it."""
        key = (api_version, kind)
        if key not in self._resources:
            await self.refresh()
        if key not in self._resources:
            raise ManifestError(
                f"the cluster does not serve the kind {kind} in {api_version or 'no apiVersion'}",
                remedy=self._nearest(kind),
            )
        return self._resources[key]

    async def all(self) -> list[Resource]:
        """Every kind in every served version."""
        if not self._resources:
            await self.refresh()
        return list(self._resources.values())

    async def refresh(self) -> None:
        found: dict[tuple[str, str], Resource] = {}
        for path in ("/api", "/apis"):
            answer = await self._wire.request("GET", path, accept=_AGGREGATED)
            for resource in resources_of(answer.json()):
                found.setdefault((resource.api_version, resource.kind), resource)
        self._resources = found

    def _nearest(self, kind: str) -> str:
        elsewhere = sorted(version for version, name in self._resources if name == kind)
        if elsewhere:
            return f"Write apiVersion: {' or '.join(elsewhere)} for {kind}."
        kinds = {name for _, name in self._resources}
        close = difflib.get_close_matches(kind, kinds, n=3)
        guess = f" Did you mean {', '.join(close)}?" if close else ""
        return (
            "Correct kind and apiVersion, or have the CustomResourceDefinition that defines it"
            f" among the manifests.{guess}"
        )


def resources_of(document: dict[str, Any]) -> list[Resource]:
    """The resources of an aggregated discovery document (`APIGroupDiscoveryList`)."""
    found = []
    for group in document.get("items") or []:
        name = group.get("metadata", {}).get("name", "")
        for order, version in enumerate(group.get("versions") or []):
            api_version = f"{name}/{version['version']}" if name else version["version"]
            for entry in version.get("resources") or []:
                kind = (entry.get("responseKind") or {}).get("kind")
                if not kind:
                    continue
                found.append(
                    Resource(
                        api_version=api_version,
                        kind=kind,
                        plural=entry["resource"],
                        namespaced=entry["scope"] == "Namespaced",
                        verbs=frozenset(entry.get("verbs") or []),
                        preferred=order == 0,
                    )
                )
    return found
