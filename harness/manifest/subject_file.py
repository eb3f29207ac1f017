"""`harness.toml`: the one small file that makes an application a subject.

The models alone; reading the file is in `harness.manifest.subject_reading`, and whether the roles
exist in the manifests in `harness.manifest.validate`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from harness.declare import During
from harness.errors import ManifestError
from harness.history.facts import TIMES
from harness.manifest.objects import Ref
from harness.units import names_in, quantity_bytes, seconds

FILE = "harness.toml"
Protocol = Literal["http", "mysql", "postgres", "redis", "tcp"]
_ENDPOINT = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def _recovery(expression: str) -> str:
    unknown = sorted(names_in(expression) - set(TIMES))
    if unknown:
        known = ", ".join(TIMES)
        raise ValueError(f'"{unknown[0]}" is no time that manifests declare (known: {known})')
    return expression


def _ref(value: Any) -> Any:
    return Ref.parse(value) if isinstance(value, str) else value


def _namespace(name: str) -> str:
    if not _DNS_LABEL.fullmatch(name):
        raise ValueError(f'"{name}" is no name for a namespace (lower-case letters, digits, "-")')
    return name


Seconds = Annotated[float, BeforeValidator(seconds)]
RefText = Annotated[Ref, BeforeValidator(_ref), PlainSerializer(str)]
Namespace = Annotated[str, AfterValidator(_namespace)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class SubjectTable(_Table):
    """`[subject]`: where the manifests are. Paths are absolute once the file is loaded.

    `images` are taken from the local container engine and pushed into the run's registry.
    `namespace` is for objects that name none (default: the name). `variants` is a folder of
    kustomize components of the user's own.
    """

    name: Namespace
    manifests: tuple[Path, ...] = Field(min_length=1)
    namespace: Namespace
    images: tuple[str, ...] = ()
    variants: Path | None = None


class Build(_Table):
    """`[build."shop/checkout:1.4"]`: how an image is built when the engine does not have it."""

    context: Path
    dockerfile: str = "Dockerfile"
    target: str | None = None
    args: dict[str, str] = {}


class GreedyRelease(_Table):
    """`greedy`: a release of the workload that takes more memory at start than the present one."""

    image: str
    memory: str

    @model_validator(mode="after")
    def _readable(self) -> GreedyRelease:
        quantity_bytes(self.memory)
        return self


class Role(_Table):
    """One line of `[roles]`: an object, or a table with what a fault needs to know of it.

    `ref` is the object, `protocol` what is spoken behind a Service's port (guessed from the port
    where absent), `secret` the Secret with the credentials and `*_key` its keys (`user` where the
    name is no secret), `dbname` the database, `path` what is asked for over HTTP (of a workload, a
    path that needs a connection of its pool).

    Some faults need the application's help: `lock` is an SQL statement that locks, in its
    transaction, rows or a table that the requests want; `start_delay` the environment variable that
    delays the workload's start by so many seconds; `greedy` a release that takes memory at start.
    """

    ref: RefText
    protocol: Protocol | None = None
    secret: str | None = None
    user: str | None = None
    user_key: str = "username"
    password_key: str = "password"
    dbname: str | None = None
    path: str = "/"
    lock: str | None = None
    start_delay: str | None = None
    greedy: GreedyRelease | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"ref": data}
        if isinstance(data, dict) and "service" in data and "ref" not in data:
            rest = {key: value for key, value in data.items() if key != "service"}
            service = str(data["service"])
            return {"ref": service if "/" in service else f"Service/{service}"} | rest
        return data


class Endpoint(_Table):
    """One kind of request: `"GET /cart" = 4` (its weight), or a table with more."""

    weight: float = Field(default=1.0, gt=0)
    body: str | None = None
    headers: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"weight": data} if isinstance(data, int | float) else data


class LoadTable(_Table):
    """`[load]`: requests per second, and the endpoints by "METHOD /path"; `timeout` in seconds.

    A `locustfile` of the user's own replaces the arrivals; the report then says closed-loop.
    """

    rate: float = Field(default=20.0, gt=0, le=5000)
    endpoints: dict[str, Endpoint] = {"GET /": Endpoint()}
    timeout: Seconds = 10.0
    locustfile: Path | None = None

    @model_validator(mode="after")
    def _methods(self) -> LoadTable:
        for name in self.endpoints:
            if not _ENDPOINT.fullmatch(name):
                raise ValueError(f'"{name}" is no endpoint: write a method and a path, "GET /cart"')
        return self

    def weights(self) -> dict[str, float]:
        """The endpoints as `harness.declare.Load` takes them."""
        return {name: each.weight for name, each in self.endpoints.items()}


class AvailabilityBound(_Table):
    """`availability`: the share of the intended requests that must succeed, and in which stretch.

    A number alone means the default stretch: whole again once the fault is over.
    """

    at_least: float = Field(gt=0, le=1)
    during: During = "recovered"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return data if isinstance(data, dict | cls) else {"at_least": data}


class LatencyBound(_Table):
    """`p99`: the time in seconds that 99 of 100 requests must stay within, and in which stretch."""

    at_most: Seconds
    during: During = "recovered"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return data if isinstance(data, dict | cls) else {"at_most": data}


class ObjectivesTable(_Table):
    """`[objectives]`: what the user asks of the application, in every scenario.

    `restarts` is the most that are allowed beside those that are a fault's only cure, `recovery`
    the longest time back to health: a duration or a sum with the times that the manifests declare,
    such as "readiness + 5s".
    """

    availability: AvailabilityBound | None = None
    p99: LatencyBound | None = None
    restarts: int | None = Field(default=None, ge=0)
    recovery: Annotated[str, AfterValidator(_recovery)] | None = None


class SubjectFile(_Table):
    """A whole `harness.toml`; `directory` is the folder it is in."""

    directory: Path
    subject: SubjectTable
    build: dict[str, Build] = {}
    roles: dict[str, Role] = {}
    load: LoadTable = LoadTable()
    objectives: ObjectivesTable = ObjectivesTable()

    def also(self, roles: Mapping[str, str]) -> SubjectFile:
        """The subject with further roles, each bound to an object as `[roles]` writes it."""
        more = {name: Role.model_validate(ref) for name, ref in roles.items()}
        return self.model_copy(update={"roles": {**self.roles, **more}})

    def role(self, name: str) -> Role:
        """The role, or a `ManifestError` that says which ones are bound."""
        if name not in self.roles:
            bound = ", ".join(sorted(self.roles)) or "none"
            raise ManifestError(
                f'{self.directory / FILE} binds no role "{name}" (bound: {bound})',
                remedy=f'add a line under [roles]: {name} = "Kind/name"',
            )
        return self.roles[name]
