"""Where a database is and who asks, in the words of each driver."""

from __future__ import annotations

from typing import Any


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
