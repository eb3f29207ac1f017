"""Reading the JSON body of a request."""

from __future__ import annotations

import json

from starlette.exceptions import HTTPException
from starlette.requests import Request


async def json_object(request: Request) -> dict[str, object]:
    """The body as an object, `{}` if there is none; 400 for anything else."""
    body = await request.body()
    if not body:
        return {}
    try:
        value = json.loads(body)
    except ValueError:
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return value
