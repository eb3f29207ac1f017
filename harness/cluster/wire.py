"""HTTP to one API server: TLS and credentials from a kubeconfig, bounded retries, typed errors.

Here lives what every request has in common. What the paths mean (kinds, verbs, subresources) is
in `api.py`; which path a kind has is in `discovery.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import orjson
import tenacity

from harness.errors import ClusterError, UsageError

Stage = Literal["authentication", "authorization", "admission", "validation", "store"]

# Of one request: the API server's own limit for non-watch requests is 60 s.
REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 5.0

_REMEDY: dict[Stage, str] = {
    "authentication": "The credential in the kubeconfig is not accepted; write the kubeconfig anew"
    " (`harness up` does) or name another context.",
    "authorization": "The user of this kubeconfig lacks the permission named above; grant it or"
    " use a context that has it.",
    "admission": "A rule of the cluster (quota, Pod Security, webhook, policy) refused this; change"
    " the manifest so that it complies, or the rule.",
    "validation": "Correct the named field of the manifest.",
    "store": "The API server or its store could not do it; see its state with `harness status`,"
    " and whether a fault is active.",
}


class UnreachableError(ClusterError):
    """No answer from the API server: refused, reset, timed out."""


class ApiError(ClusterError):
    """The API server answered with an error.

    `status` is the HTTP code, `reason` Kubernetes' machine word (`NotFound`, `Forbidden`...; may
    be empty), `detail` the server's own text, `stage` where on the apply path the request died,
    `body` the Status object as received (empty if the answer was not one).
    """

    def __init__(
        self,
        *,
        status: int,
        reason: str,
        detail: str,
        request: str,
        body: Mapping[str, Any],
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.detail = detail
        self.stage: Stage = stage_of(status, detail)
        self.body = body
        self.retry_after = retry_after
        super().__init__(
            f"{request}: {status} {reason} at {self.stage}: {detail}", remedy=_REMEDY[self.stage]
        )

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409

    @property
    def gone(self) -> bool:
        """The asked resourceVersion is no longer in the watch cache or the store."""
        return self.status == 410


def stage_of(status: int, detail: str) -> Stage:
    """Where on the apply path a request with this answer died.

    The code alone does not tell: 403 is RBAC as well as quota, 422 schema as well as policy, 500
    a broken store as well as a webhook that cannot be called.
    """
    admission = (
        "admission webhook",
        "failed calling webhook",
        "ValidatingAdmissionPolicy",
        "violates PodSecurity",
        "exceeded quota",
        "failed quota",
        "disruption budget",
    )
    if status == 401:
        return "authentication"
    if any(words in detail for words in admission):
        return "admission"
    if status == 403:
        return "authorization" if " cannot " in detail else "admission"
    if status in (400, 405, 406, 413, 415, 422):
        return "validation"
    return "store"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer taken as it is, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        return orjson.loads(self.body)


class Wire:
    """One connection pool to one API server. `patience` bounds all retries of one call, seconds."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: str,
        *,
        patience: float,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.session = session
        self.server = server.rstrip("/")
        self.patience = patience
        self.extra = dict(extra or {})

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        idempotent: bool | None = None,
        retry: bool = True,
        timeout: float = REQUEST_SECONDS,
        raise_for_status: bool = True,
    ) -> Answer:
        """One request, retried within `patience` where that cannot do anything twice.

        `idempotent` defaults to what HTTP says of the method. A request that is not idempotent
        is repeated only if it was certainly not carried out: never connected, or 429. Raises
        `ApiError` (unless `raise_for_status` is false) or `UnreachableError`.
        """
        safe = idempotent if idempotent is not None else method in ("GET", "HEAD", "PUT", "DELETE")
        data = None if body is None else _encode(body)
        headers = {"Accept": accept}
        if data is not None:
            headers["Content-Type"] = content_type

        async def once() -> Answer:
            answer = await self._once(method, path, params, data, headers, timeout)
            if raise_for_status and answer.status >= 400:
                raise error_of(f"{method} {path}", answer)
            return answer

        if not retry:
            return await once()
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: _worth_again(error, safe=safe)),
            wait=_pause,
            stop=tenacity.stop_after_delay(self.patience),
            reraise=True,
        )
        return await retrying(once)

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | list[tuple[str, str]] | None,
        data: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Answer:
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_SECONDS)
        try:
            async with self.session.request(
                method,
                self.server + path,
                params=params,
                data=data,
                headers=headers,
                timeout=limits,
                **self.extra,
            ) as response:
                return Answer(
                    status=response.status, body=await response.read(), headers=response.headers
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self.unreachable(f"{method} {path}", error) from error

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str], silence: float
    ) -> AsyncIterator[Stream]:
        """An open answer to read line by line; `silence`: seconds of nothing that end it.

        Raises `ApiError` or `UnreachableError` if it cannot be opened.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence)
        request = f"WATCH {path}"
        try:
            async with asyncio.timeout(2 * CONNECT_SECONDS):
                response = await self.session.get(
                    self.server + path, params=params, timeout=limits, **self.extra
                )
                body = await response.read() if response.status >= 400 else b""
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self.unreachable(request, error) from error
        try:
            if response.status >= 400:
                raise error_of(request, Answer(status=response.status, body=body))
            yield Stream(self, response, request)
        finally:
            response.close()

    def unreachable(self, request: str, error: BaseException) -> UnreachableError:
        why = str(error) or type(error).__name__
        return UnreachableError(
            f"no answer from the API server at {self.server} ({request}): {why}",
            remedy="See whether the cluster runs (`harness status`); start it with `harness up`.",
        )


class Stream:
    """Lines of an open answer; its end without an error is the server's own."""

    def __init__(self, wire: Wire, response: aiohttp.ClientResponse, request: str) -> None:
        self._wire = wire
        self._response = response
        self._request = request

    def close(self) -> None:
        """Makes the one who reads get `UnreachableError`."""
        self._response.close()

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        # Only the reading is translated: an error of the one who reads is not ours to rename.
        content = self._response.content
        while True:
            try:
                line = await content.readline()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._wire.unreachable(self._request, error) from error
            if not line:
                return
            yield line


def error_of(request: str, answer: Answer) -> ApiError:
    """The typed error of an answer; understands Status objects and plain text."""
    try:
        parsed = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        parsed = None
    body: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    retry_after = answer.headers.get("Retry-After", "")
    return ApiError(
        status=answer.status,
        reason=str(body.get("reason") or ""),
        detail=str(body.get("message") or answer.text.strip()[:1000] or "no text"),
        request=request,
        body=body,
        retry_after=float(retry_after) if retry_after.isdigit() else None,
    )


def _encode(body: Any) -> bytes:
    return body if isinstance(body, bytes) else orjson.dumps(body)


def _worth_again(error: BaseException, *, safe: bool) -> bool:
    if isinstance(error, ApiError):
        if error.stage == "store":
            return error.status == 429 or (safe and error.status in (500, 502, 503, 504))
        # Seconds after an API server's start RBAC rules are not loaded yet and everybody but
        # system:masters is refused with this text.
        return error.stage == "authorization" and "RBAC: clusterrole" in error.detail
    if isinstance(error, UnreachableError):
        return safe or isinstance(error.__cause__, aiohttp.ClientConnectorError)
    return False


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds until the next try: 0.1, 0.2 ... 2, with jitter, never below Retry-After."""
    backoff: float = min(2.0, 0.1 * 2 ** (state.attempt_number - 1)) * random.uniform(0.7, 1.3)
    failure = state.outcome.exception() if state.outcome else None
    asked = failure.retry_after if isinstance(failure, ApiError) else None
    return max(backoff, asked or 0.0)


def _existing(kubeconfig: Path) -> str:
    if not kubeconfig.is_file():
        raise ClusterError(
            f"there is no kubeconfig at {kubeconfig}",
            remedy="Start a cluster with `harness up`, or name another kubeconfig.",
        )
    return str(kubeconfig)


@asynccontextmanager
async def open_wire(
    kubeconfig: Path, context: str | None = None, *, patience: float = 15.0
) -> AsyncIterator[Wire]:
    """A pool with the TLS and credentials of a kubeconfig; nothing is sent yet."""
    # Here and not above: importing the client takes most of a second, and most of the command
    # line's work needs no cluster.
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.client.rest import RESTClientObject
    from kubernetes.aio.config import ConfigException, load_kube_config

    configuration = Configuration()
    try:
        await load_kube_config(  # type: ignore[no-untyped-call]
            config_file=_existing(kubeconfig),
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    except ConfigException as error:
        raise UsageError(
            f"the kubeconfig {kubeconfig} cannot be used: {error}",
            remedy="Name a context that it has, or another kubeconfig.",
        ) from error
    # An HTTPS_PROXY of the environment is for hosts out there, as with kubectl.
    local = urlsplit(configuration.host).hostname in ("127.0.0.1", "localhost", "::1")
    configuration.client_session_kwargs = {"trust_env": not local}
    # Each watch holds a connection for its whole life.
    configuration.connection_pool_maxsize = 512
    pool = RESTClientObject(configuration)
    session = pool._create_pool_manager()
    token = await configuration.get_api_key_with_prefix("BearerToken")
    if token:
        session.headers["Authorization"] = token
    extra: dict[str, Any] = {}
    if configuration.tls_server_name:
        extra["server_hostname"] = configuration.tls_server_name
    if configuration.proxy:
        extra["proxy"] = configuration.proxy
    try:
        yield Wire(session, configuration.host, patience=patience, extra=extra)
    finally:
        await session.close()
