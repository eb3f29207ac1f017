"""The database client: a bounded pool, one round trip per statement, limits on every wait.

Autocommit and no prepared statements, so that a statement costs exactly one round trip: a slow
link then shows in a request as its own latency and not as a multiple of it. Requests queue for a
connection up to the pool's wait; beyond that they fail (`UnavailableError`) while the process
stays well. What is asked of the database lives in `checkout`, `payments` and `worker`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import psycopg
import psycopg.errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from sampleservice import settings

log = logging.getLogger(__name__)

# Long enough for a retry or two, short enough that the pool asks again at once when a database
# comes back: psycopg_pool doubles its pause between attempts until this time is used up.
_RECONNECT_SECONDS = 3.0

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[DictRow]


class UnavailableError(Exception):
    """The database gave no answer in time, refused, or dropped the connection."""


class Database:
    """The pool and the one way to use it."""

    def __init__(self, config: settings.Database) -> None:
        self._config = config
        self._pool: AsyncConnectionPool[Connection] | None = None

    def _make_pool(self) -> AsyncConnectionPool[Connection]:
        config = self._config
        return AsyncConnectionPool(
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={
                "host": config.host,
                "port": config.port,
                "dbname": config.name,
                "user": config.user,
                "password": config.password,
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": None,
                "application_name": "sampleservice",
                "connect_timeout": int(config.connect_seconds),
                "options": f"-c statement_timeout={int(config.statement_seconds * 1000)}",
                # Each refused negotiation is one more round trip before the first query.
                "sslmode": "disable",
                "gssencmode": "disable",
                # A peer that vanished is noticed even while no query is running.
                "keepalives_idle": 10,
                "keepalives_interval": 3,
                "keepalives_count": 3,
                "tcp_user_timeout": 15000,
            },
            # A fixed size: a pool that grows under load connects just when the database is slow.
            min_size=config.pool_size,
            max_size=config.pool_size,
            timeout=config.pool_wait_seconds,
            reconnect_timeout=_RECONNECT_SECONDS,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting in the background; the database need not be there yet."""
        self._pool = self._make_pool()
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection, waiting at most two seconds for them."""
        if self._pool is not None:
            await self._pool.close(timeout=2)

    async def query(
        self, statement: str, parameters: Mapping[str, object], *, within: float | None = None
    ) -> list[Row]:
        """Rows of one statement (empty for none).

        `within` bounds waiting and querying together, in seconds; without it the pool's wait and
        the query's time are bounded separately by the settings. Raises `UnavailableError`.
        """
        try:
            async with asyncio.timeout(within):
                return await self._with_retries(statement, parameters)
        except TimeoutError:
            raise UnavailableError(f"no answer from the database within {within:g} s") from None

    async def _with_retries(self, statement: str, parameters: Mapping[str, object]) -> list[Row]:
        retry = self._config.retry
        for attempt in range(retry.attempts + 1):
            try:
                return await self._once(statement, parameters)
            except psycopg.OperationalError as error:
                # A cancelled statement (statement_timeout, a lock) would only be slow again.
                lost = not isinstance(error, psycopg.errors.QueryCanceled)
                if attempt == retry.attempts or not lost:
                    raise UnavailableError(f"the database failed: {error}") from error
                log.warning("attempt %d lost its connection: %s", attempt + 1, error)
                await asyncio.sleep(retry.backoff_seconds * 2**attempt)
        raise AssertionError("the loop returns or raises")

    async def _once(self, statement: str, parameters: Mapping[str, object]) -> list[Row]:
        if self._pool is None:
            raise UnavailableError("the service is still starting")
        limit = self._config.query_seconds or None
        try:
            async with self._pool.connection() as connection, asyncio.timeout(limit):
                cursor = await connection.execute(statement.encode(), parameters)
                return await cursor.fetchall() if cursor.description else []
        except PoolTimeout:
            wait = self._config.pool_wait_seconds
            raise UnavailableError(
                f"no database connection became free within {wait:g} s"
            ) from None
        except PoolClosed:
            raise UnavailableError("the service is shutting down") from None
        except TimeoutError:
            raise UnavailableError(f"the query took more than {limit:g} s") from None

    def stats(self) -> dict[str, int]:
        """`{"max", "open", "in_use", "waiting"}` of the pool, as counts."""
        if self._pool is None:
            return {"max": self._config.pool_size, "open": 0, "in_use": 0, "waiting": 0}
        stats = self._pool.get_stats()
        size, free = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return {
            "max": self._config.pool_size,
            "open": size,
            "in_use": max(0, size - free),
            "waiting": stats.get("requests_waiting", 0),
        }
