"""The harness's own pod in a trial's namespace: measures exchanges, and lets toxics expire.

Runs inside the cluster, not in the harness. `GET /exchange?...` performs one real protocol exchange
with a service and answers how long it took; connections are kept, as an application's pool would
keep them. `PUT /sessions` opens sessions in a database and holds them, with what they locked, until
they are released or were not renewed in time. `PUT /toxics` installs toxics in the Toxiproxy of the
same pod and removes them by itself when they were not renewed in time, so that a fault ends even if
the harness dies.
"""

from __future__ import annotations

import http.client
import json
import queue
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOXIPROXY = "http://127.0.0.1:8474"
TIMEOUT_S = 30.0

Query = dict[str, str]
Timed = tuple[float, int]
"""Seconds and bytes of one exchange."""


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


def postgres_login(q: dict[str, Any]) -> dict[str, Any]:
    """Where the server is and who asks, in psycopg's words."""
    return {
        "host": q["host"],
        "port": int(q["port"]),
        "user": q.get("user", "postgres"),
        "password": q.get("password", ""),
        "dbname": q.get("dbname") or q.get("user", "postgres"),
    }


def mysql_login(q: dict[str, Any]) -> dict[str, Any]:
    """Where the server is and who asks, in pymysql's words."""
    return {
        "host": q["host"],
        "port": int(q["port"]),
        "user": q.get("user", "root"),
        "password": q.get("password", ""),
        "database": q.get("dbname") or None,
    }


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


def measure(q: Query) -> dict[str, Any]:
    """Seconds, bytes and the error, if any, of one exchange."""
    begin = time.monotonic()
    try:
        took, count = bounded(q)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is the measurement
        message = f"{type(error).__name__}: {error}".strip()
        return {"ok": False, "seconds": time.monotonic() - begin, "error": message, "bytes": 0}
    return {"ok": True, "seconds": took, "error": None, "bytes": count}


class RefusedError(Exception):
    """The server would not let a session in, or not do what it asked for; its own words."""


@dataclass(frozen=True)
class Session:
    """One session of a server: runs a statement, and ends."""

    run: Callable[[str], Any]
    close: Callable[[], None]


def postgres_session(q: dict[str, Any]) -> Session:
    """A session in a transaction that stays open."""
    import psycopg

    try:
        connection = psycopg.connect(
            **postgres_login(q),
            application_name="resilience-harness",
            connect_timeout=5,
            # The server ends a session that nobody looks after, even if this pod is gone.
            options=f"-c idle_in_transaction_session_timeout={unattended_s(q) * 1000}",
        )
        if q.get("statement"):
            connection.execute(q["statement"])
    except psycopg.OperationalError as error:
        raise RefusedError(str(error).strip()) from error
    return Session(connection.execute, connection.close)


def mysql_session(q: dict[str, Any]) -> Session:
    """A session in a transaction that stays open; MariaDB's, too."""
    import pymysql

    try:
        connection = pymysql.connect(
            **mysql_login(q),
            program_name="resilience-harness",
            connect_timeout=5,
            # The server ends a session that nobody looks after, even if this pod is gone.
            init_command=f"SET SESSION wait_timeout = {unattended_s(q)}",
        )
        if q.get("statement"):
            connection.query(q["statement"])
    except pymysql.OperationalError as error:
        raise RefusedError(str(error).strip()) from error
    return Session(connection.query, connection.close)


def unattended_s(q: dict[str, Any]) -> int:
    """Twice as long as the harness leaves a session without renewing it."""
    return int(float(q["ttl"]) * 2)


SESSION_OF = {"postgres": postgres_session, "mysql": mysql_session}


class Sessions:
    """Sessions of a database server, held under a name until released or not renewed in time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, list[Session]] = {}
        self._deadlines: dict[str, float] = {}

    def hold(self, name: str, q: dict[str, Any]) -> dict[str, Any]:
        """Open `count` sessions, each running `statement` in a transaction that stays open.

        With `count` 0 as many as the server lets in, at most `most`. Answers how many are held, and
        what the server said to the one that it refused.
        """
        with self._lock:
            held = self._held.setdefault(name, [])
            self._deadlines[name] = time.monotonic() + float(q["ttl"])
            wanted = int(q.get("count", 1)) or int(q.get("most", 500))
            while len(held) < wanted:
                try:
                    held.append(SESSION_OF[q["protocol"]](q))
                except RefusedError as refused:
                    return {"held": len(held), "refused": str(refused)}
            return {"held": len(held), "refused": None}

    def renew(self, name: str, ttl: float) -> bool:
        """Extend, and keep the server's own clock from ending the sessions; False if gone."""
        with self._lock:
            if name not in self._held:
                return False
            for session in self._held[name]:
                session.run("SELECT 1")
            self._deadlines[name] = time.monotonic() + ttl
            return True

    def release(self, name: str) -> int:
        """End the sessions; how many there were."""
        with self._lock:
            return self._close(name)

    def _close(self, name: str) -> int:
        self._deadlines.pop(name, None)
        sessions = self._held.pop(name, [])
        for session in sessions:
            session.close()
        return len(sessions)

    def watch(self) -> None:
        """Runs for ever beside the server."""
        while True:
            time.sleep(0.5)
            with self._lock:
                now = time.monotonic()
                for name in [n for n, deadline in self._deadlines.items() if now > deadline]:
                    self._close(name)


SESSIONS = Sessions()


def call_toxiproxy(method: str, path: str, body: Any = None) -> Any:
    """One call of Toxiproxy's API; raises urllib.error.HTTPError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(TOXIPROXY + path, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read() or b"null")


class Expiry:
    """Removes all toxics once they have not been renewed for as long as was agreed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadline: float | None = None

    def install(self, proxy: str, toxics: list[dict[str, Any]], enabled: bool, ttl: float) -> None:
        """Replace the proxy's toxics by these; they last `ttl` seconds unless renewed."""
        with self._lock:
            have = call_toxiproxy("GET", f"/proxies/{proxy}")
            wanted = {t["name"]: t for t in toxics}
            for old in have["toxics"]:
                if old["name"] not in wanted:
                    call_toxiproxy("DELETE", f"/proxies/{proxy}/toxics/{old['name']}")
            present = {t["name"] for t in have["toxics"]}
            for name, toxic in wanted.items():
                if name not in present:
                    call_toxiproxy("POST", f"/proxies/{proxy}/toxics", toxic)
            if have["enabled"] != enabled:
                call_toxiproxy("POST", f"/proxies/{proxy}", {"enabled": enabled})
            self._deadline = time.monotonic() + ttl

    def renew(self, ttl: float) -> bool:
        """Extend; False if the toxics have expired already."""
        with self._lock:
            if self._deadline is None:
                return False
            self._deadline = time.monotonic() + ttl
            return True

    def reset(self) -> None:
        """Remove every toxic and enable every proxy."""
        with self._lock:
            call_toxiproxy("POST", "/reset")
            self._deadline = None

    def watch(self) -> None:
        """Runs for ever beside the server."""
        while True:
            time.sleep(0.5)
            with self._lock:
                due = self._deadline is not None and time.monotonic() > self._deadline
            if due:
                self.reset()


EXPIRY = Expiry()


class Handler(BaseHTTPRequestHandler):
    """GET /healthz and /exchange; PUT /toxics and /sessions, POST .../renew, DELETE of both."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Errors only: the harness records every measurement itself."""

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        return json.loads(self.rfile.read(length) or b"{}")

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/healthz":
            self._answer(200, "ok")
        elif url.path == "/exchange":
            self._answer(200, measure(dict(urllib.parse.parse_qsl(url.query))))
        elif url.path == "/proxies":
            self._answer(200, call_toxiproxy("GET", "/proxies"))
        else:
            self._answer(404, "not found")

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/exchange":
            self._answer(200, measure({k: str(v) for k, v in body.items()}))
        elif self.path == "/renew":
            self._answer(200, {"renewed": EXPIRY.renew(body["ttl"])})
        elif self.path == "/sessions/renew":
            self._answer(200, {"renewed": SESSIONS.renew(body["name"], body["ttl"])})
        else:
            self._answer(404, "not found")

    def do_PUT(self) -> None:
        body = self._body()
        if self.path == "/sessions":
            self._answer(200, SESSIONS.hold(body.pop("name"), body))
            return
        EXPIRY.install(body["proxy"], body["toxics"], body["enabled"], body["ttl"])
        self._answer(200, call_toxiproxy("GET", f"/proxies/{body['proxy']}"))

    def do_DELETE(self) -> None:
        if self.path.startswith("/sessions/"):
            self._answer(200, {"released": SESSIONS.release(self.path.rsplit("/", 1)[1])})
            return
        EXPIRY.reset()
        self._answer(200, call_toxiproxy("GET", "/proxies"))


def main() -> None:
    """`agent.py PORT [expiry]`."""
    port = int(sys.argv[1])
    threading.Thread(target=SESSIONS.watch, daemon=True).start()
    if "expiry" in sys.argv[2:]:
        # Whatever was in force before this container started has no deadline any more.
        wait_for_toxiproxy()
        EXPIRY.reset()
        threading.Thread(target=EXPIRY.watch, daemon=True).start()
    ThreadingHTTPServer(("", port), Handler).serve_forever()


def wait_for_toxiproxy() -> None:
    """Until the Toxiproxy of the same pod answers; the kubelet's start-up limit bounds it."""
    while True:
        try:
            call_toxiproxy("GET", "/version")
        except OSError:
            time.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    main()
