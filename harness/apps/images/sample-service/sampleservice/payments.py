"""payment-service: shows accounts and charges them, one statement each.

A charge updates the row of its account, so whoever locks the accounts makes every charge wait
with a pooled connection in its hands: the exhausted pool of the seed story.
"""

from __future__ import annotations

import random
import uuid

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sampleservice.bodies import json_object
from sampleservice.database import Database

ACCOUNTS = 50
"""Accounts in the schema that the manifests load."""

_ACCOUNT = "SELECT id, owner, balance_cents FROM accounts WHERE id = %(id)s"

_CHARGE = """
WITH account AS (
    UPDATE accounts SET balance_cents = balance_cents - %(amount)s
    WHERE id = %(account)s RETURNING id
)
INSERT INTO payments (id, account_id, amount_cents) SELECT %(payment)s, id, %(amount)s FROM account
ON CONFLICT (id) DO NOTHING RETURNING id
"""


def routes(database: Database) -> list[Route]:
    """`GET /accounts/{id}`, `POST /payments` (`{"account": 7, "amount": 100}` or no body)."""

    async def account(request: Request) -> Response:
        rows = await database.query(_ACCOUNT, {"id": request.path_params["id"]})
        if not rows:
            raise HTTPException(404, "no such account")
        return JSONResponse(rows[0])

    async def charge(request: Request) -> Response:
        body = await json_object(request)
        wanted, amount = body.get("account", random.randint(1, ACCOUNTS)), body.get("amount", 100)
        if not isinstance(wanted, int) or not isinstance(amount, int):
            raise HTTPException(400, "account and amount must be numbers")
        payment = uuid.uuid4()
        rows = await database.query(
            _CHARGE, {"account": wanted, "amount": amount, "payment": payment}
        )
        if not rows:
            raise HTTPException(404, "no such account")
        return JSONResponse({"payment": str(payment), "account": wanted}, status_code=201)

    return [
        Route("/accounts/{id:int}", account),
        Route("/payments", charge, methods=["POST"]),
    ]
