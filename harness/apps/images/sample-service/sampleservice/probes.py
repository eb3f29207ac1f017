"""The probe paths. Which of them ask the database is a setting, so that a manifest can be wrong."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sampleservice.database import Database, UnavailableError
from sampleservice.settings import PROBE_PATHS, Settings


def routes(settings: Settings, database: Database | None) -> list[Route]:
    """One route for each probe path, plus `/api/v1/health`, which is the API's own.

    Without a database every one of them tells of the process alone.
    """

    async def process(_: Request) -> Response:
        return JSONResponse({"status": "alive", "build": settings.build_id})

    if database is None:
        return [Route(path, process) for path in (*PROBE_PATHS, "/api/v1/health")]

    async def dependency(_: Request) -> Response:
        try:
            await database.query("SELECT 1", {}, within=settings.ready_seconds)
        except UnavailableError as error:
            return JSONResponse({"status": "not ready", "reason": str(error)}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def api_health(_: Request) -> Response:
        # As any other API call: it queues for a connection and waits for it in full.
        await database.query("SELECT 1", {})
        return JSONResponse({"status": "ok"})

    chosen = {
        path: dependency if path in settings.database_probes else process for path in PROBE_PATHS
    }
    return [
        *(Route(path, handler) for path, handler in chosen.items()),
        Route("/api/v1/health", api_health),
    ]
