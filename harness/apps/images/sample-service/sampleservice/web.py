"""web: answers with its greeting and needs nobody, for stories without a database."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def routes(greeting: str) -> list[Route]:
    """`GET /`: the greeting."""

    async def greet(_: Request) -> Response:
        return JSONResponse({"greeting": greeting})

    return [Route("/", greet)]
