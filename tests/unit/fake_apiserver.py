"""An API server that plays what a test scripts: lists, watch streams, errors, silence, death."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from harness.kube.client import Kube
from harness.kube.transport import Wire

Obj = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

KINDS = {
    "v1": [
        ("Namespace", "namespaces", False, ["status", "finalize"]),
        ("Node", "nodes", False, ["status", "proxy"]),
        ("Pod", "pods", True, ["status", "log", "exec", "eviction", "proxy"]),
        ("PersistentVolume", "persistentvolumes", False, ["status"]),
        ("ConfigMap", "configmaps", True, []),
        ("Secret", "secrets", True, []),
    ],
    "apps/v1": [("Deployment", "deployments", True, ["status", "scale"])],
    "apiextensions.k8s.io/v1": [
        ("CustomResourceDefinition", "customresourcedefinitions", False, ["status"])
    ],
}


def discovery(api_versions: dict[str, Any], *, core: bool) -> Obj:
    """An aggregated discovery document."""
    items = []
    for api_version, kinds in api_versions.items():
        group, _, version = api_version.rpartition("/")
        if core != (group == ""):
            continue
        resources = [
            {
                "resource": plural,
                "responseKind": {"group": group, "version": version, "kind": kind},
                "scope": "Namespaced" if namespaced else "Cluster",
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
                "subresources": [{"subresource": sub, "verbs": ["get"]} for sub in subresources],
            }
            for kind, plural, namespaced, subresources in kinds
        ]
        items.append(
            {
                "metadata": {"name": group} if group else {},
                "versions": [{"version": version, "resources": resources}],
            }
        )
    return {"kind": "APIGroupDiscoveryList", "items": items}


def status(code: int, reason: str, message: str) -> Obj:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def config_map(name: str, version: int, *, uid: str = "", namespace: str = "ns") -> Obj:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


class FakeApiServer:
    """Listens on 127.0.0.1; `kill` and `revive` keep the port.

    `listing` and `version` are what a list answers. Each watch gets what `send` puts in, and each
    request is kept in `requests`. `on(path, handler)` overrides any path.
    """

    def __init__(self) -> None:
        self.listing: list[Obj] = []
        self.version = 1
        self.kinds = dict(KINDS)
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.watches: list[asyncio.Queue[bytes | None]] = []
        self.watch_refusal: tuple[int, Obj] | None = None
        self.silent = asyncio.Event()
        self._overrides: dict[str, Handler] = {}
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, path: str, handler: Handler) -> None:
        self._overrides[path] = handler

    def serve(self, path: str) -> None:
        """No override of this path any more."""
        del self._overrides[path]

    def answer(self, path: str, body: Any, *, code: int = 200) -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.json_response(body, status=code)

        self.on(path, handler)

    def send(self, verb: str, obj: Obj) -> None:
        self.send_raw(json.dumps({"type": verb, "object": obj}).encode() + b"\n")

    def send_raw(self, line: bytes) -> None:
        self.watches[-1].put_nowait(line)

    def end_watch(self) -> None:
        self.watches[-1].put_nowait(None)

    @property
    def watch_requests(self) -> list[web.Request]:
        return [request for request in self.requests if "watch" in request.query]

    async def revive(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        # A killed server does not say goodbye.
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def kill(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        if self.silent.is_set():
            await asyncio.Event().wait()
        if request.path in self._overrides:
            return await self._overrides[request.path](request)
        if request.path == "/livez/ping":
            return web.Response(text="ok")
        if request.path in ("/api", "/apis"):
            return web.json_response(discovery(self.kinds, core=request.path == "/api"))
        if "watch" in request.query:
            return await self._watch(request)
        return web.json_response(
            {
                "kind": "List",
                "metadata": {"resourceVersion": str(self.version)},
                "items": [
                    {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
                    for obj in self.listing
                ],
            }
        )

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if self.watch_refusal is not None:
            code, body = self.watch_refusal
            self.watch_refusal = None
            return web.json_response(body, status=code)
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.watches.append(queue)
        while (line := await queue.get()) is not None:
            await response.write(line)
        return response


@asynccontextmanager
async def fake_apiserver(*, patience: float = 5.0) -> AsyncIterator[tuple[FakeApiServer, Kube]]:
    """A server that listens, and a client of it."""
    server = FakeApiServer()
    await server.revive()
    try:
        async with aiohttp.ClientSession() as session:
            yield server, Kube(Wire(session, server.url, patience=patience))
    finally:
        await server.kill()
