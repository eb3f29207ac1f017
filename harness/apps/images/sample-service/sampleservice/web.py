"""web: answers with its greeting and needs nobody, for stories without a database."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_LONGEST_SECONDS = 600.0


def routes(greeting: str) -> list[Route]:
    """`GET /`: the greeting. `GET /work?seconds=45`: the same, after so much work."""

    async def greet(_: Request) -> Response:
        return JSONResponse({"greeting": greeting})

    async def work(request: Request) -> Response:
        given = request.query_params.get("seconds", "")
        try:
            seconds = float(given)
        except ValueError:
            raise HTTPException(400, f"seconds={given!r} is not a number") from None
        if not 0 <= seconds <= _LONGEST_SECONDS:
            raise HTTPException(400, f"seconds must be 0 to {_LONGEST_SECONDS:g}")
        await asyncio.sleep(seconds)
        return await greet(request)

    return [Route("/", greet), Route("/work", work)]
