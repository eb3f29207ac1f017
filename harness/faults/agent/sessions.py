"""Sessions of a database server, held until they are released or were not renewed in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .logins import mysql_login, postgres_login


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
