"""checkout-api: reads products, takes orders and queues them for the worker.

One statement each. An order's id is made here, so that repeating the statement after a lost
connection cannot place the order twice.
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

PRODUCTS = 100
"""Products in the schema that the manifests load."""

_PRODUCT = "SELECT id, name, price_cents, stock FROM products WHERE id = %(id)s"

_ORDER = """
WITH product AS (
    UPDATE products SET stock = stock - 1 WHERE id = %(product)s RETURNING id
), placed AS (
    INSERT INTO orders (id, product_id) SELECT %(order)s, id FROM product
    ON CONFLICT (id) DO NOTHING RETURNING id
)
INSERT INTO order_queue (order_id) SELECT id FROM placed RETURNING order_id
"""

_STATUS = "SELECT id, product_id, status FROM orders WHERE id = %(id)s"


def routes(database: Database) -> list[Route]:
    """`GET /products/{id}`, `GET /orders/{id}`, `POST /orders` (`{"product": 7}` or no body)."""

    async def product(request: Request) -> Response:
        rows = await database.query(_PRODUCT, {"id": request.path_params["id"]})
        return _one(rows, "product")

    async def order(request: Request) -> Response:
        body = await json_object(request)
        wanted = body.get("product", random.randint(1, PRODUCTS))
        if not isinstance(wanted, int):
            raise HTTPException(400, "product must be a number")
        placed = uuid.uuid4()
        rows = await database.query(_ORDER, {"product": wanted, "order": placed})
        if not rows:
            raise HTTPException(404, "no such product")
        return JSONResponse({"order": str(placed), "product": wanted}, status_code=201)

    async def status(request: Request) -> Response:
        rows = await database.query(_STATUS, {"id": request.path_params["id"]})
        return _one(rows, "order")

    return [
        Route("/products/{id:int}", product),
        Route("/orders", order, methods=["POST"]),
        Route("/orders/{id:uuid}", status),
    ]


def _one(rows: list[dict[str, object]], what: str) -> Response:
    if not rows:
        raise HTTPException(404, f"no such {what}")
    return JSONResponse({k: v if isinstance(v, int) else str(v) for k, v in rows[0].items()})
