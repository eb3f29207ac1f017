"""What the generator is told: the declared load, resolved and checked before anything starts.

A `LoadPlan` is plain data and travels to the child process as one line of JSON. Checking happens
here, so that a wrong endpoint or a foreign host is refused with a remedy instead of being found by
the child.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from harness.declare import Load
from harness.errors import LoadError, UsageError
from harness.history.arrivals import Arrivals
from harness.redaction import redacted
from harness.units import seconds

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# In flight at once. A target that hangs for the default timeout holds 10 s x rate requests, so this
# is reached only above 200 requests/s, or by a generator that no longer keeps up.
MAX_IN_FLIGHT = 2000
FLUSH_S = 0.25

# How the child process says what went wrong: its exit code, and the last such line of its log.
ERROR_PREFIX = "load error: "
EXIT_ERROR = 3
EXIT_PARENT_GONE = 4
EXIT_RECORDING = 5

_ENDPOINT = re.compile(r"([A-Z]+) (/\S*)")
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


class EndpointLike(Protocol):
    """What `[load.endpoints]` of a subject's `harness.toml` says of one endpoint."""

    @property
    def weight(self) -> float: ...
    @property
    def body(self) -> str | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One kind of request. `body` is sent as it is, as JSON unless a header says otherwise."""

    method: str
    path: str
    weight: float = 1.0
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name that recordings and reports use."""
        return f"{self.method} {self.path}"

    def encode(self, authority: str) -> bytes:
        """The whole HTTP/1.1 request.

        Each arrival is an independent user and has a connection of its own: a pooled connection
        would pin the whole load to the one pod behind it, hide pods that left the Service, and
        turn a lost connection into a silent retry.
        """
        given = {name.lower(): value for name, value in self.headers.items()}
        headers = {"host": authority, "user-agent": "resilience-harness", "accept": "*/*"}
        content = (self.body or "").encode()
        if content:
            headers["content-type"] = "application/json"
        headers |= given
        if content or self.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(content))
        headers["connection"] = "close"
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
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
    def decode(cls, line: bytes) -> LoadPlan:
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
    endpoints: Mapping[str, EndpointLike] | None = None,
    duration_s: float | None = None,
) -> LoadPlan:
    """Resolve a declaration against the entry's URL.

    `endpoints` are the subject's own by "METHOD /path": sent where `load` names none, and where it
    does the source of their bodies and headers. Without either, `GET /`.
    Raises LoadError for a target that is not on this machine, UsageError for what cannot be sent.
    """
    url = _target(target_url)
    if load.rate is None:
        raise UsageError(
            "the load has no rate",
            remedy="give Load(rate=...) in the scenario, or rate under [load] in harness.toml",
        )
    timeout_s = seconds(load.timeout)
    if timeout_s <= 0:
        raise UsageError(
            f"the load's timeout is {load.timeout!r}", remedy='give a time above 0, such as "10s"'
        )
    return LoadPlan(
        host=url.hostname or "",
        port=url.port or 80,
        endpoints=_chosen(load.endpoints, endpoints or {}),
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
    if url.scheme != "http" or not url.hostname or url.path not in ("", "/"):
        raise LoadError(
            f"load can be sent to http://127.0.0.1:<port> only, not to {target_url!r}",
            remedy="name the entry's address on this machine; paths belong to the endpoints",
        )
    if url.hostname not in LOOPBACK:
        raise LoadError(
            f"{url.hostname} is not this machine: load is sent to 127.0.0.1 only",
            remedy="bind the role `entry` to a Service of the subject; the harness maps it to a "
            "port on 127.0.0.1",
        )
    return url


def _chosen(
    declared: Mapping[str, float] | None, known: Mapping[str, EndpointLike]
) -> tuple[Endpoint, ...]:
    """The declared weights, with the bodies and headers that the subject has for those names."""
    weights = declared or {name: e.weight for name, e in known.items()} or {"GET /": 1.0}
    chosen = []
    for name, weight in weights.items():
        match = _ENDPOINT.fullmatch(name)
        if match is None or match[1] not in _METHODS:
            raise UsageError(
                f"{name!r} is no endpoint",
                remedy=f'write a method ({", ".join(_METHODS)}) and a path, such as "GET /cart"',
            )
        if redacted(name) != name:
            raise UsageError(
                f"an endpoint has a credential in its path, which is its name in every report: "
                f"{redacted(name)}",
                remedy="send it in a header of the endpoint (harness.toml)",
            )
        if not 0 < weight < float("inf"):
            raise UsageError(
                f"endpoint {name!r} has weight {weight!r}",
                remedy="give each endpoint a weight above 0; leave out what is not to be requested",
            )
        known_as = known.get(name)
        body = known_as.body if known_as else None
        headers = dict(known_as.headers) if known_as else {}
        if any(end in text for pair in headers.items() for text in pair for end in "\r\n"):
            raise UsageError(
                f"a header of endpoint {name!r} holds a line break",
                remedy="write each header on one line",
            )
        chosen.append(
            Endpoint(method=match[1], path=match[2], weight=weight, body=body, headers=headers)
        )
    return tuple(chosen)


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
