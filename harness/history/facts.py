"""What the manifests of a trial say: everything that judgement needs and that is no observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UsageError

Json = dict[str, Any]

TIMES = ("grace", "liveness", "readiness", "readiness-out", "startup")
"""Names that a bound may use; their values come from the manifest."""


@dataclass(frozen=True, kw_only=True)
class FaultFacts:
    """What judgement and reports say of a fault, as the `trial` record keeps it.

    `describe` is what is asked of which `target`, `onset` what happened, for sentences such as
    "41 s after <the database slowed>". `met`: a verdict needs proof that the subject met it.
    `spares_target`: it stands on the way to its target, whose own pods feel nothing of it.
    """

    name: str
    target: str
    describe: str
    onset: str
    scope: str
    met: bool
    spares_target: bool = False

    @classmethod
    def of_trial(cls, record: Json) -> list[FaultFacts]:
        """The faults of a `trial` record, in order. An older run kept only what was declared: its
        fields are the words then, and nobody recorded who met it."""
        if "faults" in record:
            return [cls(**each) for each in record["faults"]]
        return [
            cls(
                name=each["name"],
                target=str(each.get("target", "")),
                describe=" ".join(map(str, each.values())),
                onset=str(record.get("onset", "")),
                scope="cluster",
                met=False,
            )
            for each in (record.get("scenario") or {}).get("faults", ())
        ]

    def reaches(self, role: str, facts: Facts) -> bool:
        """Whether pods of a role can feel it, as far as is known: an objective on pods that cannot
        asks for no exposure."""
        target = facts.roles.get(self.target)
        if not self.spares_target or target is None:
            return True
        return not set(facts.role(role).workloads) <= set(target.workloads)


@dataclass(frozen=True, kw_only=True)
class RoleFacts:
    """What the manifests say of the objects behind a role; times in seconds, None if not declared.

    `liveness_s`: from the first failing probe to a restarted container (delay + threshold x period
    + timeout + grace). `readiness_out_s`: until a failing readiness removes the pod.
    `readiness_back_s`: until a succeeding readiness returns it. `startup_s`: the start-up budget.
    `why` explains each number.
    """

    role: str
    ref: str
    namespace: str
    port: int | None = None
    workloads: tuple[str, ...] = ()
    replicas: int = 1
    liveness_s: float | None = None
    readiness_out_s: float | None = None
    readiness_back_s: float | None = None
    startup_s: float | None = None
    grace_s: float = 30.0
    why: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that judgement needs to know of a trial and that is not an observation.

    `scale` is the one divisor by which probe periods, windows and graces were shortened.
    """

    roles: Mapping[str, RoleFacts]
    scale: int = 1

    def role(self, name: str) -> RoleFacts:
        """The facts of a role; UsageError names the roles that are bound."""
        try:
            return self.roles[name]
        except KeyError:
            bound = ", ".join(sorted(self.roles)) or "none"
            raise UsageError(
                f"role {name!r} is not bound by this subject (bound: {bound})",
                remedy=f"bind {name!r} under [roles] in the subject's harness.toml",
            ) from None
