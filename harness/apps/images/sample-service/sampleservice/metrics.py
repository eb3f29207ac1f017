"""Counters for Prometheus and the middleware that feeds them and burns CPU as the settings say.

Metrics have a listener of their own, so that a manifest decides who may read them.
"""

from __future__ import annotations

import time
from functools import partial

from prometheus_client import Counter, Gauge, Histogram, start_http_server
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sampleservice.database import Database

REQUESTS = Counter("http_requests", "Requests answered", ["handler", "code"])
SECONDS = Histogram(
    "http_request_seconds",
    "Time to answer",
    ["handler"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
PROCESSED = Counter("orders_processed", "Orders taken from the queue")
POOL = Gauge("database_pool_connections", "Pooled connections", ["state"])


def burn(milliseconds: float) -> None:
    """Use that much CPU time of this thread."""
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


def expose(address: tuple[str, int], database: Database | None) -> None:
    """Serve the metrics in a thread of their own."""
    if database:
        for state in ("max", "open", "in_use", "waiting"):
            POOL.labels(state).set_function(partial(_stat, database, state))
    start_http_server(address[1], addr=address[0])


def _stat(database: Database, state: str) -> float:
    return database.stats()[state]


class Measured:
    """ASGI middleware: counts, times, and uses CPU per request and per failed request."""

    def __init__(self, app: ASGIApp, cpu_ms: float, cpu_ms_per_error: float) -> None:
        self._app = app
        self._cpu_ms = cpu_ms
        self._cpu_ms_per_error = cpu_ms_per_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, code = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        burn(self._cpu_ms)
        try:
            await self._app(scope, receive, noting)
        finally:
            if code >= 500:
                burn(self._cpu_ms_per_error)
            handler = getattr(scope.get("endpoint"), "__name__", "none")
            REQUESTS.labels(handler, code).inc()
            SECONDS.labels(handler).observe(time.perf_counter() - started)
