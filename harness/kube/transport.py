"""HTTP to one API server: TLS and credentials from a kubeconfig, bounded retries, typed errors.

Here lives what every request has in common. What an answer means is in `responses`, what the paths
mean (kinds, verbs, subresources) in `objects`, which path a kind has in `discovery`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import tenacity

from harness.errors import ClusterError, UsageError
from harness.host.joined import joined
from harness.kube.responses import Answer, ApiError, UnreachableError, error_of

# Of one request: the API server's own limit for non-watch requests is 60 s.
REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 5.0


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

        refusals = 0

        async def once() -> Answer:
            nonlocal refusals
            asked = self._once(method, path, params, data, headers, timeout)
            answer = await (asked if method in ("GET", "HEAD") else joined(asked))
            if raise_for_status and answer.status >= 400:
                error = error_of(f"{method} {path}", answer)
                if error.stage == "authorization":
                    # One refusal may have come just before the API server was ready.
                    refusals += await self._ready()
                    error.early = refusals < 2
                raise error
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

    async def _ready(self) -> bool:
        """Whether authorization can be taken at its word: for seconds after its start an API
        server knows no RBAC rule yet and refuses nearly everybody everything."""
        return (await self._once("GET", "/readyz", None, None, {}, CONNECT_SECONDS)).status == 200

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
        # Lines are put together here, since aiohttp's own refuses long ones: an object in etcd may
        # have 1.5 MB.
        begun: list[bytes] = []
        while True:
            try:
                data = await self._response.content.readany()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._wire.unreachable(self._request, error) from error
            if not data:
                break
            *ended, rest = data.split(b"\n")
            for end in ended:
                yield b"".join((*begun, end, b"\n"))
                begun.clear()
            begun.append(rest)
        if torn := b"".join(begun):
            yield torn


def _encode(body: Any) -> bytes:
    return body if isinstance(body, bytes) else orjson.dumps(body)


def _worth_again(error: BaseException, *, safe: bool) -> bool:
    if isinstance(error, ApiError):
        if error.stage == "store":
            return error.status == 429 or (safe and error.status in (500, 502, 503, 504))
        return error.early
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
