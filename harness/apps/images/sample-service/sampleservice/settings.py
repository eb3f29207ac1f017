"""Settings: read once from the environment, checked, never changed afterwards.

Every static knob is one environment variable, so that a manifest alone decides how the service
behaves. Wrong or missing variables end the process with exit code 1 and one line that says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["checkout", "worker", "payments", "web"]
ROLES: tuple[Role, ...] = get_args(Role)

PROBE_PATHS = ("/healthz", "/healthz/live", "/healthz/ready", "/healthz/db", "/ready")


class SettingsError(Exception):
    """A variable is missing or cannot be understood; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often and with what growing pause a statement that lost its connection is repeated."""

    attempts: int
    backoff_seconds: float


@dataclass(frozen=True, kw_only=True)
class Database:
    """Where the database is and how the pool behaves; times in seconds, 0 = no limit."""

    host: str
    port: int
    name: str
    user: str
    password: str
    pool_size: int
    pool_wait_seconds: float
    connect_seconds: float
    query_seconds: float
    statement_seconds: float
    retry: Retry


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the process was told. Addresses are (host, port); sizes in MB of 1,000,000 B.

    The role `web` has a greeting and no database; the others have a database and no greeting.
    """

    build_id: str
    listen: tuple[str, int]
    admin: tuple[str, int]
    metrics: tuple[str, int]
    greeting: str
    database: Database | None
    database_probes: frozenset[str]
    ready_seconds: float
    shutdown_delay_seconds: float
    drain_seconds: float
    ignore_sigterm: bool
    start_delay_seconds: float
    exit_at_start: int | None
    write_at_start: str | None
    heap_mb: int
    native_mb: int
    growth_mb_per_second: float
    cpu_ms_per_request: float
    cpu_ms_per_error: float
    files: str | None


def read(environ: Mapping[str, str], role: Role) -> Settings:
    """The settings in `environ`; SettingsError names the variable that is missing or wrong."""
    env = _Reader(environ)
    web = role == "web"
    return Settings(
        build_id=env.text("BUILD_ID", "unknown"),
        listen=env.address("LISTEN", "0.0.0.0:8080"),
        admin=env.address("ADMIN_BIND", "0.0.0.0:8081"),
        metrics=env.address("METRICS_BIND", "0.0.0.0:9090"),
        greeting=env.required("GREETING") if web else "",
        database=None if web else _database(env),
        database_probes=env.probes("PROBES_WITH_DATABASE", "/healthz/ready,/healthz/db,/ready"),
        ready_seconds=env.number("READY_SECONDS", 2.5, least=0.001),
        shutdown_delay_seconds=env.number("SHUTDOWN_DELAY_SECONDS", 0),
        drain_seconds=env.number("DRAIN_SECONDS", 20),
        ignore_sigterm=env.flag("IGNORE_SIGTERM"),
        start_delay_seconds=env.number("START_DELAY_SECONDS", 0),
        exit_at_start=env.optional_int("EXIT_AT_START"),
        write_at_start=environ.get("WRITE_AT_START") or None,
        heap_mb=int(env.number("HEAP_PREALLOCATE_MB", 0)),
        native_mb=int(env.number("NATIVE_OVERHEAD_MB", 0)),
        growth_mb_per_second=env.number("MEMORY_GROWTH_MB_PER_SECOND", 0),
        cpu_ms_per_request=env.number("CPU_MS_PER_REQUEST", 0),
        cpu_ms_per_error=env.number("CPU_MS_PER_ERROR", 0),
        files=environ.get("FILES") or None,
    )


def _database(env: _Reader) -> Database:
    return Database(
        host=env.required("DATABASE_HOST"),
        port=int(env.number("DATABASE_PORT", 5432)),
        name=env.required("DATABASE_NAME"),
        user=env.required("DATABASE_USER"),
        password=env.required("DATABASE_PASSWORD"),
        pool_size=int(env.number("POOL_SIZE", 10, least=1)),
        pool_wait_seconds=env.number("POOL_WAIT_SECONDS", 5, least=0.001),
        connect_seconds=env.number("DATABASE_CONNECT_SECONDS", 15, least=1),
        query_seconds=env.number("QUERY_SECONDS", 15),
        statement_seconds=env.number("STATEMENT_TIMEOUT_SECONDS", 0),
        retry=Retry(
            attempts=int(env.number("RETRY_ATTEMPTS", 1)),
            backoff_seconds=env.number("RETRY_BACKOFF_SECONDS", 0.1),
        ),
    )


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(name) or default

    def required(self, name: str) -> str:
        value = self._environ.get(name)
        if not value:
            raise SettingsError(f"environment variable {name} is not set")
        return value

    def number(self, name: str, default: float, *, least: float = 0) -> float:
        given = self._environ.get(name)
        if not given:
            return default
        try:
            value = float(given)
        except ValueError:
            raise SettingsError(f"{name}={given!r} is not a number") from None
        if not least <= value < float("inf"):
            raise SettingsError(f"{name}={given!r} must be at least {least:g}")
        return value

    def optional_int(self, name: str) -> int | None:
        given = self._environ.get(name)
        if not given:
            return None
        if not given.isdigit() or int(given) > 255:
            raise SettingsError(f"{name}={given!r} is not an exit code (0 to 255)")
        return int(given)

    def flag(self, name: str) -> bool:
        given = self._environ.get(name, "").lower()
        if given not in ("", "0", "1", "false", "true"):
            raise SettingsError(f"{name}={given!r} must be true or false")
        return given in ("1", "true")

    def address(self, name: str, default: str) -> tuple[str, int]:
        host, _, port = self.text(name, default).rpartition(":")
        if not host or not port.isdigit():
            raise SettingsError(f"{name}={self._environ.get(name)!r} is not an address:port")
        return host, int(port)

    def probes(self, name: str, default: str) -> frozenset[str]:
        # An empty value is meaningful here: no probe path asks the database.
        given = self._environ.get(name, default)
        paths = frozenset(path.strip() for path in given.split(",") if path.strip())
        unknown = sorted(paths.difference(PROBE_PATHS))
        if unknown:
            raise SettingsError(
                f"{name} names {', '.join(unknown)}; the probe paths are {', '.join(PROBE_PATHS)}"
            )
        return paths
