"""`Kube`: what the harness asks of an API server.

Objects are in `objects.py`; here are connecting, and the ways through the API server to pods,
services and nodes. Watching is in `watch.py`, waiting in `eventually.py`; transport, retries and
errors are in `wire.py` and `answers.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.host.joined import joined
from harness.kube import pod_exec
from harness.kube.discovery import Resource
from harness.kube.objects import Obj, Objects
from harness.kube.pod_exec import ExecResult
from harness.kube.responses import Answer, ApiError, Stage, UnreachableError, error_of
from harness.kube.transport import open_wire

__all__ = [
    "Answer",
    "ApiError",
    "Kube",
    "Obj",
    "Resource",
    "Stage",
    "UnreachableError",
]


class Kube(Objects):
    """One API server. Every method raises `ApiError`, `UnreachableError` or, for a kind that is not
    served, `ManifestError`."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, kubeconfig: Path, context: str | None = None, *, patience: float = 15.0
    ) -> AsyncIterator[Kube]:
        """`patience` bounds the retries of one call, in seconds. Nothing is sent yet."""
        async with open_wire(kubeconfig, context, patience=patience) as wire:
            yield cls(wire)

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

    async def execute(
        self,
        namespace: str,
        pod: str,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 10.0,
    ) -> ExecResult:
        """Run a command in a container to its end, in `timeout` seconds at most. Raises `ApiError`
        if it is refused, `NotStartedError` if the container runs no such program."""
        path = await self._path("v1", "Pod", pod, namespace, "exec")
        return await joined(
            pod_exec.run(
                self.wire, path, container=container, argv=argv, stdin=stdin, timeout=timeout
            )
        )

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        previous: bool = False,
        tail: int | None = None,
        limit_bytes: int | None = None,
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
        path = await self._path("v1", "Pod", pod, namespace, "log")
        return (await self.wire.request("GET", path, params=params, accept="*/*")).text

    async def uid(self) -> str:
        """The UID of namespace kube-system: the identity of a cluster."""
        return str((await self.get("v1", "Namespace", "kube-system"))["metadata"]["uid"])

    async def _proxy(self, method: str, path: str, json: Any) -> Answer:
        answer = await self.wire.request(
            method, path, body=json, accept="*/*", retry=False, raise_for_status=False
        )
        if answer.status >= 400 and b'"kind":"Status"' in answer.body:
            raise error_of(f"{method} {path}", answer)
        return answer
