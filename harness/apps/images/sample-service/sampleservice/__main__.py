"""`python -m sampleservice ROLE` (checkout, worker, payments, web): start, signals, exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sampleservice import admin, checkout, identity, metrics, payments, probes, web, worker
from sampleservice.database import Database, UnavailableError
from sampleservice.knobs import Knobs
from sampleservice.memory import Ballast
from sampleservice.settings import ROLES, Role, Settings, SettingsError, read

log = logging.getLogger("sampleservice")


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handling: it would re-raise SIGTERM and exit with 143."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def application(role: Role, settings: Settings, database: Database | None) -> Starlette:
    """The web application of a role. The worker has probe paths only."""

    async def unavailable(_: Request, error: Exception) -> Response:
        log.warning("answered 503: %s", error)
        return JSONResponse({"error": str(error)}, status_code=503)

    async def refused(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise TypeError(f"registered for HTTPException, got {error!r}")
        return JSONResponse({"error": error.detail}, status_code=error.status_code)

    return Starlette(
        routes=[*probes.routes(settings, database), *_own_routes(role, settings, database)],
        middleware=[
            Middleware(
                metrics.Measured,
                cpu_ms=settings.cpu_ms_per_request,
                cpu_ms_per_error=settings.cpu_ms_per_error,
            )
        ],
        exception_handlers={UnavailableError: unavailable, HTTPException: refused},
    )


def _own_routes(role: Role, settings: Settings, database: Database | None) -> list[Route]:
    if database is None:
        return web.routes(settings.greeting)
    if role == "checkout":
        return checkout.routes(database)
    return payments.routes(database) if role == "payments" else []


def start_knobs(settings: Settings) -> None:
    """Leave, or write, before anything listens, as the settings say."""
    if settings.exit_at_start is not None:
        log.error("leaving with code %d: EXIT_AT_START is set", settings.exit_at_start)
        sys.exit(settings.exit_at_start)
    if settings.write_at_start is not None:
        path = Path(settings.write_at_start)
        try:
            path.write_text(f"written by {settings.build_id}\n")
        except OSError as error:
            sys.exit(f"cannot write {path} at start: {error}")


def _on_sigterm(settings: Settings, stopping: asyncio.Event) -> None:
    if settings.ignore_sigterm:
        log.warning("SIGTERM ignored")
    else:
        stopping.set()


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """True if the event came within the seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def run(role: Role, settings: Settings) -> None:
    """Serve until SIGTERM, then drain. Admin and metrics answer from the first moment."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    ballast = Ballast()
    knobs = Knobs(ballast)
    database = Database(settings.database) if settings.database else None
    knobs.attach(loop)

    def state() -> dict[str, object]:
        return {
            **identity.report(settings.build_id),
            "role": role,
            "pool": database.stats() if database else {},
            "memory_mb": ballast.held(),
            "knobs": knobs.active(),
        }

    admin.serve(settings.admin, knobs, state)
    metrics.expose(settings.metrics, database)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_sigterm, settings, stopping)

    if settings.start_delay_seconds:
        log.info("starting takes %g s", settings.start_delay_seconds)
        if await _wait(stopping, settings.start_delay_seconds):
            return
    await asyncio.to_thread(ballast.add, "heap", settings.heap_mb)
    await asyncio.to_thread(ballast.add, "native", settings.native_mb)
    if settings.growth_mb_per_second:
        knobs.grow(settings.growth_mb_per_second, None, float("inf"))

    async with AsyncExitStack() as stack:
        if database:
            await database.open()
            stack.push_async_callback(database.close)
        async with asyncio.TaskGroup() as group:
            if role == "worker" and database:
                group.create_task(worker.run(database, settings.files, stopping))
            group.create_task(_serve(application(role, settings, database), settings, stopping))


async def _serve(app: Starlette, settings: Settings, stopping: asyncio.Event) -> None:
    host, port = settings.listen
    server = _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http="httptools",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
        )
    )

    async def stop() -> None:
        await stopping.wait()
        log.info("SIGTERM: accepting for %g s more", settings.shutdown_delay_seconds)
        await asyncio.sleep(settings.shutdown_delay_seconds)
        server.should_exit = True

    stopper = asyncio.create_task(stop())
    try:
        await server.serve()
    finally:
        stopper.cancel()
    # Without this a server that could not listen would leave the worker running alone.
    stopping.set()


def main() -> None:
    """Run the role named on the command line. Exit code 0 after SIGTERM, 1 for bad settings."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    role = next((each for each in ROLES if sys.argv[1:] == [each]), None)
    if role is None:
        sys.exit(f"usage: python -m sampleservice {'|'.join(ROLES)}")
    try:
        settings = read(os.environ, role)
    except SettingsError as error:
        sys.exit(f"cannot start: {error}")
    start_knobs(settings)
    asyncio.run(run(role, settings))
    log.info("stopped")


if __name__ == "__main__":
    main()
