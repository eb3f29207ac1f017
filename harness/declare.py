"""What authors declare: scenarios, variants, load, and the protocols of faults and objectives.

Everything here is frozen and does no I/O. A declaration is stored in the run folder as JSON under
a registered name, so that a verdict can be recomputed without the author's Python. Reading
manifests, talking to a cluster and judging live elsewhere.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeVar,
    get_args,
    runtime_checkable,
)

from harness.errors import UsageError
from harness.host.user_packages import load_plugins
from harness.units import seconds

if TYPE_CHECKING:
    from harness.history.history import History
from harness.history.facts import Facts, FaultFacts, Json

State = Literal["met", "broken", "open"]

Scope = Literal["namespace", "node", "cluster", "machine"]

Shape = Literal["single", "workers", "ha", "full"]

Expected = Literal["survived", "failed"]

During = Literal["fault", "recovered", "all"]
"""A stretch of a trial: from injection to heal; the 5 s from the first moment after the heal at
which the role is fully ready and requests succeed; or from injection to the end of recovery."""

AS_GIVEN = "as-given"
"""Name of the variant that runs a user's subject unpatched."""


@dataclass(frozen=True)
class Finding:
    """What an objective says of a history, or of a prefix of it.

    `at` is the monotonic time in nanoseconds at which the state was decided, or None. `holds`: open
    only because it is still watched, and nothing more is to be waited for. `before_heal`: open, and
    only what happens while the fault lasts can decide it, so the fault has to be kept up.
    `at_any_speed`: broken by what no slowness brings about, so that a crowded machine is no excuse.
    """

    state: State
    reason: str
    at: int | None = None
    holds: bool = False
    before_heal: bool = False
    at_any_speed: bool = False


@dataclass(frozen=True)
class Sighting:
    """Where in the history something that a failed variant must show was seen."""

    at: int
    text: str


@dataclass(frozen=True)
class Exposure:
    """How long a fault must be felt before survival means anything: seconds, and the arithmetic."""

    seconds: float
    why: str


T = TypeVar("T", bound="Declared")

_REGISTRY: dict[tuple[str, str], type[Declared]] = {}


@dataclass(frozen=True)
class Declared:
    """Base of what is stored by name: faults, objectives and what a failed variant must show."""

    family: ClassVar[str] = ""
    name: ClassVar[str] = ""

    def to_json(self) -> Json:
        """`{"name": ..., <field>: <value>}`; fields that still have their default are left out.

        A declaration inside, at any depth of lists and mappings, says its `family` as well.
        """
        out: Json = {"name": self.name}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.default is dataclasses.MISSING or value != f.default:
                out[f.name] = _stored(value)
        return out


_NAMES = ("family", "name")


def _stored(value: Any) -> Any:
    match value:
        case Declared():
            return {"family": value.family, **value.to_json()}
        case tuple() | list():
            return [_stored(each) for each in value]
        case Mapping():
            return {key: _stored(each) for key, each in value.items()}
    return value


def _loaded(value: Any) -> Any:
    match value:
        case {"family": family, "name": _}:
            return load_declared(family, value)
        case list():
            return tuple(_loaded(each) for each in value)
        case dict():
            return {key: _loaded(each) for key, each in value.items()}
    return value


def register(family: str, name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: make a `Declared` dataclass loadable from a run folder."""

    def mark(cls: type[T]) -> type[T]:
        known = _REGISTRY.get((family, name))
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise TypeError(f"{family} {name!r} is registered twice: {known!r} and {cls!r}")
        cls.family, cls.name = family, name
        _REGISTRY[family, name] = cls
        return cls

    return mark


def registered(family: str) -> dict[str, type[Declared]]:
    """All registered classes of a family by name, those of the user's packages included."""
    load_plugins()
    return {name: cls for (fam, name), cls in sorted(_REGISTRY.items()) if fam == family}


def load_declared(family: str, data: Json) -> Declared:
    """The declaration that `to_json` stored; UsageError if its name is not registered."""
    if (family, data["name"]) not in _REGISTRY:
        load_plugins()
    rest = {key: _loaded(value) for key, value in data.items() if key not in _NAMES}
    cls = _REGISTRY.get((family, data["name"]))
    unknown = [] if cls is None else sorted(rest.keys() - {f.name for f in dataclasses.fields(cls)})
    if cls is None or unknown:
        with_ = f" with {', '.join(unknown)}" if unknown else ""
        raise UsageError(
            f"this harness knows no {family} {data['name']!r}{with_}",
            remedy="judge the run with the version that recorded it (see run.json), and with the "
            "packages installed that its scenarios used",
        )
    return cls(**rest)


@runtime_checkable
class Objective(Protocol):
    """A pure predicate on the history.

    `judge` may be asked on any prefix of a history and must never change a decided answer when
    more is appended. `control` is the same question asked of the control phase. `exposure` is how
    long this fault must be felt for this objective to have had time to break; None where it names
    no time, or where the fault does not reach what it judges. `scope` says how much of the world
    must be left alone while it is judged, `watches` which kinds of object it reads ("Pod"): where
    they were not watched without a gap, its answer counts for nothing.
    """

    scope: ClassVar[Scope]
    watches: ClassVar[tuple[str, ...]]
    name: ClassVar[str]

    def describe(self) -> str: ...

    def judge(self, history: History) -> Finding: ...

    def control(self, history: History) -> Finding: ...

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None: ...

    def to_json(self) -> Json: ...


@runtime_checkable
class Bounded(Protocol):
    """An objective that allows a time for something to happen."""

    def bound(self, facts: Facts) -> float: ...


@runtime_checkable
class Observable(Protocol):
    """Something that a variant must show: found in the history or not (yet)."""

    name: ClassVar[str]

    def describe(self) -> str: ...

    def seen(self, history: History) -> Sighting | None: ...

    def hidden(self, history: History) -> str: ...

    def to_json(self) -> Json: ...


@runtime_checkable
class Fault(Protocol):
    """The declared side of a fault; `harness.faults.base` has the cycle that carries it out."""

    scope: ClassVar[Scope]
    name: ClassVar[str]

    @property
    def target(self) -> str: ...

    @property
    def onset(self) -> str: ...

    def describe(self) -> str: ...

    def to_json(self) -> Json: ...


_TIME = re.compile(r"\{(\d[^{}]*)\}")


@dataclass(frozen=True, kw_only=True)
class Load:
    """Open-loop load on the entry.

    `rate` is in requests per second; `endpoints` maps "METHOD /path" to weights; `timeout` is per
    request. A `locustfile` of the user's own replaces the arrivals and is reported as closed-loop.
    None means: what the subject's `harness.toml` says. A time in braces in an endpoint
    (`GET /work?seconds={45s}`) stands against the manifests' own: it is divided like them.
    """

    rate: float | None = None
    endpoints: Mapping[str, float] | None = None
    arrivals: Literal["constant", "poisson"] = "constant"
    timeout: str = "10s"
    locustfile: str | None = None

    def __post_init__(self) -> None:
        seconds(self.timeout)
        if self.rate is not None and not 0 < self.rate <= 5000:
            raise UsageError(
                f"load rate is {self.rate!r} requests/s",
                remedy="give a rate above 0 and at most 5000 requests per second",
            )
        for name in self.endpoints or {}:
            _divided(name, 1)

    def scaled(self, by: int) -> Load:
        """The load as it is sent in a trial of this scale: each time in braces in seconds."""
        if self.endpoints is None:
            return self
        sent = {_divided(name, by): weight for name, weight in self.endpoints.items()}
        return dataclasses.replace(self, endpoints=sent)


def _divided(endpoint: str, by: int) -> str:
    return _TIME.sub(lambda time: f"{seconds(time[1]) / by:g}", endpoint)


@dataclass(frozen=True)
class Expect:
    """The verdict that a variant must get, and what it must show to get it for the right reason."""

    verdict: Expected
    shows: Sequence[Observable] = ()

    def __post_init__(self) -> None:
        if self.verdict not in ("survived", "failed"):
            raise UsageError(
                f"a variant cannot be expected to be {self.verdict!r}",
                remedy='expect "survived" or "failed"',
            )
        object.__setattr__(self, "shows", tuple(self.shows))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Subject or required roles, load, faults, objectives, and what each variant must do.

    `subject` names a sample subject; a user's subject replaces it and needs only the roles.
    `source` is the place in the seed stories. `roles` binds roles to objects that the scenario
    brings beside the subject, such as `{"newcomer": "Deployment/newcomer"}`. `scale` divides probe
    periods, windows and graces of every variant by one number, ratios kept; 1 is faithful.
    `control` is how long the load must have been served before the fault. `shape` is the cluster
    that is needed; `alone`: nobody else may be on it, though no fault or objective says so (the
    scenario fills the nodes). `slug` is filled in from the scenario's folder.
    """

    title: str
    source: str
    subject: str
    faults: Sequence[Fault]
    objectives: Sequence[Objective]
    variants: Mapping[str, Expect]
    load: Load = Load()
    roles: Mapping[str, str] = field(default_factory=dict)
    scale: int = 1
    control: str = "8s"
    shape: Shape = "single"
    alone: bool = False
    slug: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "faults", tuple(self.faults))
        object.__setattr__(self, "objectives", tuple(self.objectives))
        for what, given in (("fault", self.faults), ("objective", self.objectives)):
            if not given:
                raise UsageError(
                    f"scenario {self.title!r} declares no {what}",
                    remedy=f"a scenario without a {what} proves nothing: declare at least one",
                )
        if not self.variants:
            raise UsageError(
                f"scenario {self.title!r} declares no variant",
                remedy='declare at least variants={"fragile": Expect(...), "hardened": ...}',
            )
        if seconds(self.control) <= 0:
            raise UsageError(
                f"scenario {self.title!r} has no control run",
                remedy='give control a duration such as "8s": without it nothing can be compared',
            )
        if self.shape not in get_args(Shape):
            raise UsageError(
                f"scenario {self.title!r} asks for a cluster of shape {self.shape!r}",
                remedy=f"choose one of {', '.join(get_args(Shape))}",
            )
        if self.scale < 1:
            raise UsageError(
                f"scenario {self.title!r} has scale {self.scale!r}",
                remedy="give a whole number of at least 1: 5 runs five times faster, 1 is faithful",
            )

    @property
    def exclusive(self) -> bool:
        """True if more than its own namespaces must be left alone."""
        scopes = [f.scope for f in self.faults] + [o.scope for o in self.objectives]
        return self.alone or any(scope != "namespace" for scope in scopes)

    def to_json(self) -> Json:
        """The resolved scenario as stored in the run folder."""
        return {
            "slug": self.slug,
            "title": self.title,
            "source": self.source,
            "subject": self.subject,
            "roles": dict(self.roles),
            "load": {k: v for k, v in dataclasses.asdict(self.load).items() if v is not None},
            "faults": [f.to_json() for f in self.faults],
            "objectives": [o.to_json() for o in self.objectives],
            "variants": {
                name: {"verdict": e.verdict, "shows": [s.to_json() for s in e.shows]}
                for name, e in self.variants.items()
            },
            "scale": self.scale,
            "control": self.control,
            "shape": self.shape,
            "alone": self.alone,
        }
