"""What the generator is told: the declared load, resolved and checked before anything starts.

A `Plan` is plain data and travels to the child process as one line of JSON. Checking happens here,
so that a wrong endpoint or a foreign host is refused with a remedy instead of being found by the
child.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from harness.arrivals import Arrivals
from harness.declare import Load
from harness.errors import LoadError, UsageError
from harness.units import seconds

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# In flight at once. A target that hangs for the default timeout holds 10 s x rate requests, so this
# is reached only above 200 requests/s, or by a generator that no longer keeps up.
MAX_IN_FLIGHT = 2000
FLUSH_S = 0.25

_ENDPOINT = re.compile(r"([A-Z]+) (/[^\s]*)")
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


class EndpointLike(Protocol):
    """What `[load]` of a subject's `harness.toml` says of one endpoint."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def name(self) -> str | None: ...
    @property
    def body(self) -> Any: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def expect(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One kind of request. `body` is sent as JSON unless it is text.

    `expect` is the one HTTP status that counts as success, None: any 2xx or 3xx.
    """

    method: str
    path: str
    weight: float = 1.0
    name: str | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: int | None = None

    @property
    def label(self) -> str:
        """The name that reports use."""
        return self.name or f"{self.method} {self.path}"

    def encode(self, authority: str) -> bytes:
        """The whole HTTP/1.1 request.

        Each arrival is an independent user and has a connection of its own: a pooled connection
        would pin the whole load to the one pod behind it, hide pods that left the Service, and
        turn a lost connection into a silent retry.
        """
        given = {name.lower(): value for name, value in self.headers.items()}
        headers = {"host": authority, "user-agent": "resilience-harness", "accept": "*/*"}
        content = b""
        if isinstance(self.body, str):
            content = self.body.encode()
        elif self.body is not None:
            content = json.dumps(self.body).encode()
            headers["content-type"] = "application/json"
        headers |= given
        if content or self.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(content))
        headers["connection"] = "close"
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that the child process needs; times in seconds, `rate` in requests per second.

    With a `locustfile` the arrivals are its own: `rate` is then the number of users.
    `record` off leaves out the requests themselves; `make bench` uses it to price the recording.
    """

    host: str
    port: int
    endpoints: tuple[Endpoint, ...]
    rate: float
    arrivals: Arrivals
    seed: int
    timeout_s: float
    requests: Path
    duration_s: float | None = None
    locustfile: str | None = None
    max_in_flight: int = MAX_IN_FLIGHT
    flush_s: float = FLUSH_S
    record: bool = True

    @property
    def authority(self) -> str:
        """Host and port as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def encode(self) -> bytes:
        """One line of JSON."""
        data = dataclasses.asdict(self) | {"requests": str(self.requests)}
        return json.dumps(data).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Plan:
        """The plan that `encode` wrote."""
        data = json.loads(line)
        data["endpoints"] = tuple(Endpoint(**e) for e in data["endpoints"])
        data["requests"] = Path(data["requests"])
        return cls(**data)


def plan(
    target_url: str,
    load: Load,
    *,
    requests: Path,
    seed: int,
    endpoints: Sequence[EndpointLike] = (),
    duration_s: float | None = None,
) -> Plan:
    """Resolve a declaration against the entry's URL.

    `endpoints` are the subject's own and used where `load` names none; without either, `GET /`.
    Raises LoadError for a target that is not on this machine, UsageError for what cannot be sent.
    """
    url = _target(target_url)
    if load.rate is None:
        raise UsageError(
            "the load has no rate",
            remedy="give Load(rate=...) in the scenario, or rate under [load] in harness.toml",
        )
    chosen = _declared(load.endpoints) if load.endpoints else [_copy(e) for e in endpoints]
    chosen = chosen or [Endpoint(method="GET", path="/")]
    prefix = url.path.rstrip("/")
    timeout_s = seconds(load.timeout)
    if timeout_s <= 0:
        raise UsageError(
            f"the load's timeout is {load.timeout!r}", remedy='give a time above 0, such as "10s"'
        )
    return Plan(
        host=url.hostname or "",
        port=url.port or 80,
        endpoints=tuple(
            dataclasses.replace(e, path=prefix + e.path) for e in map(_checked, chosen)
        ),
        rate=load.rate,
        arrivals=load.arrivals,
        seed=seed,
        timeout_s=timeout_s,
        requests=requests.absolute(),
        duration_s=duration_s,
        locustfile=_locustfile(load.locustfile),
    )


def _target(target_url: str) -> SplitResult:
    url = urlsplit(target_url)
    if url.scheme != "http" or not url.hostname:
        raise LoadError(
            f"load can be sent to http://127.0.0.1:<port> only, not to {target_url!r}",
            remedy="name the entry's address on this machine, starting with http://",
        )
    if url.hostname not in LOOPBACK:
        raise LoadError(
            f"{url.hostname} is not this machine: load is sent to 127.0.0.1 only",
            remedy="bind the role `entry` to a Service of the subject; the harness maps it to a "
            "port on 127.0.0.1",
        )
    return url


def _declared(endpoints: Mapping[str, float]) -> list[Endpoint]:
    chosen = []
    for text, weight in endpoints.items():
        match = _ENDPOINT.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is no endpoint", remedy='write a method and a path, such as "GET /cart"'
            )
        chosen.append(Endpoint(method=match[1], path=match[2], weight=weight))
    return chosen


def _copy(given: EndpointLike) -> Endpoint:
    return Endpoint(
        method=given.method,
        path=given.path,
        weight=given.weight,
        name=given.name,
        body=given.body,
        headers=dict(given.headers or {}),
        expect=given.expect,
    )


def _checked(endpoint: Endpoint) -> Endpoint:
    if endpoint.method not in _METHODS or not _ENDPOINT.fullmatch(
        f"{endpoint.method} {endpoint.path}"
    ):
        raise UsageError(
            f"{endpoint.label!r} cannot be requested",
            remedy=f"use one of {', '.join(_METHODS)} and a path that starts with /",
        )
    if not 0 < endpoint.weight < float("inf"):
        raise UsageError(
            f"endpoint {endpoint.label!r} has weight {endpoint.weight!r}",
            remedy="give each endpoint a weight above 0; leave out what should not be requested",
        )
    if any("\n" in text or "\r" in text for pair in endpoint.headers.items() for text in pair):
        raise UsageError(
            f"a header of endpoint {endpoint.label!r} holds a line break",
            remedy="write each header on one line",
        )
    return endpoint


def _locustfile(name: str | None) -> str | None:
    if name is None:
        return None
    path = Path(name).absolute()
    if not path.is_file():
        raise LoadError(
            f"the locustfile {path} does not exist",
            remedy="name an existing file in Load(locustfile=...) or under [load] in harness.toml",
        )
    return str(path)
