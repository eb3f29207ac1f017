"""One real exchange with a service, in its own protocol: how long it took, or what came instead.

Connections are kept, as an application's pool would keep them.
"""

from __future__ import annotations

import http.client
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from .logins import mysql_login, postgres_login

TIMEOUT_S = 30.0

Query = dict[str, str]
Timed = tuple[float, int]
"""Seconds and bytes of one exchange."""

_SILENT = ("timed out", "timeout", "no answer in")
_ANSWERED = ("fatal:", "(1045", "(1044", "(1040", "wrongpass", "noauth")
_CUT = ("reset", "closed", "lost connection", "broken pipe", "unexpectedly", "eof", "aborted")


def wait(q: Query) -> float:
    """How long an exchange may take before it counts as failed, in seconds."""
    return float(q.get("timeout", TIMEOUT_S))


class Connections:
    """One open connection per target, made on first use and dropped when it fails."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Any] = {}

    def use(self, key: str, connect: Callable[[], Any], exchange: Callable[[Any], int]) -> Timed:
        """The exchange over the kept connection; making a connection is not part of its time."""
        # Outside the lock: an exchange that hangs must not keep the next one from being made.
        with self._lock:
            connection = self._open.pop(key, None)
        if connection is None:
            connection = connect()
        begin = time.monotonic()
        count = exchange(connection)
        took = time.monotonic() - begin
        with self._lock:
            self._open[key] = connection
        return took, count


KEPT = Connections()


def postgres(q: Query) -> Timed:
    """`SELECT 1`, or as many bytes as asked for, over a kept connection."""
    import psycopg

    def connect() -> Any:
        return psycopg.connect(
            **postgres_login(q),
            connect_timeout=max(2, int(wait(q))),
            tcp_user_timeout=int(wait(q) * 1000),
            autocommit=True,
            sslmode="prefer",
        )

    def exchange(connection: Any) -> int:
        size = int(q.get("bytes", "1"))
        row = connection.execute("SELECT repeat('x', %s)", (size,)).fetchone()
        return len(row[0])

    return KEPT.use(f"postgres {q['host']}:{q['port']}/{q.get('dbname')}", connect, exchange)


def mysql(q: Query) -> Timed:
    """`SELECT 1`, or as many bytes as asked for, over a kept connection."""
    import pymysql

    def connect() -> Any:
        return pymysql.connect(
            **mysql_login(q),
            connect_timeout=wait(q),
            read_timeout=wait(q),
        )

    def exchange(connection: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT REPEAT('x', %s)", (int(q.get("bytes", "1")),))
            return len(cursor.fetchone()[0])

    return KEPT.use(f"mysql {q['host']}:{q['port']}", connect, exchange)


def redis(q: Query) -> Timed:
    """`PING`, or an `ECHO` of as many bytes as asked for, over a kept connection."""
    import redis as client

    def connect() -> Any:
        return client.Redis(
            host=q["host"],
            port=int(q["port"]),
            password=q.get("password") or None,
            username=q.get("user") or None,
            socket_timeout=wait(q),
        )

    def exchange(connection: Any) -> int:
        size = int(q.get("bytes", "1"))
        return len(connection.echo("x" * size))

    return KEPT.use(f"redis {q['host']}:{q['port']}", connect, exchange)


def http_get(q: Query) -> Timed:
    """One GET on a connection of its own; any answer counts, it is the time that is measured."""
    connection = http.client.HTTPConnection(q["host"], int(q["port"]), timeout=wait(q))
    begin = time.monotonic()
    try:
        connection.request("GET", q.get("path") or "/")
        count = len(connection.getresponse().read())
    finally:
        connection.close()
    return time.monotonic() - begin, count


def tcp(q: Query) -> Timed:
    """Connect only: proves that something listens, and nothing about speed."""
    begin = time.monotonic()
    with socket.create_connection((q["host"], int(q["port"])), timeout=wait(q)):
        return time.monotonic() - begin, 0


EXCHANGES = {"postgres": postgres, "mysql": mysql, "redis": redis, "http": http_get, "tcp": tcp}


def bounded(q: Query) -> Timed:
    """The exchange, given up after its timeout: not every driver bounds a wait for an answer."""
    done: queue.SimpleQueue[Timed | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put(EXCHANGES[q["protocol"]](q))
        except Exception as error:  # noqa: BLE001 - whatever a driver raises is the measurement
            done.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = done.get(timeout=wait(q))
    except queue.Empty:
        raise TimeoutError(f"no answer in {wait(q):g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def failure_of(error: Exception) -> str:
    """What kind of failure an exchange ended in, so that a cut can be told from an answer.

    `silent`: nothing came in time; `refused`: nobody listens; `cut`: the connection ended in the
    middle; `answered`: all else, such as a wrong password, which the other side (or a name server)
    had to say and which says nothing of the connection. Drivers wrap one another's errors, so their
    words are what is common to all.
    """
    text = str(error).lower()
    if any(words in text for words in _ANSWERED):
        return "answered"
    if isinstance(error, TimeoutError) or any(words in text for words in _SILENT):
        return "silent"
    if isinstance(error, ConnectionRefusedError) or "refused" in text:
        return "refused"
    if isinstance(error, ConnectionError | http.client.HTTPException):
        return "cut"
    return "cut" if any(words in text for words in _CUT) else "answered"


def measure(q: Query) -> dict[str, Any]:
    """Seconds and bytes of one exchange; the error and its kind (`failure_of`) if it failed."""
    begin = time.monotonic()
    try:
        took, count = bounded(q)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is the measurement
        return {
            "ok": False,
            "seconds": time.monotonic() - begin,
            "error": f"{type(error).__name__}: {error}".strip(),
            "failure": failure_of(error),
            "bytes": 0,
        }
    return {"ok": True, "seconds": took, "error": None, "failure": None, "bytes": count}
