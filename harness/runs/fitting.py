"""A shipped scenario for a user's own application: whether it applies, and what is asked then.

The application runs as it is given, under its own load, and is expected to survive. Everything that
its `harness.toml` asks under [objectives] is asked in every scenario. Pure; nothing is rendered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.declare import AS_GIVEN, Expect, Load, Objective, Scenario
from harness.faults.base import Fault
from harness.manifest.objects import Object
from harness.manifest.subject_file import FILE, SubjectFile
from harness.objectives import availability, latency, recovery, restarts
from harness.runs.catalog import Found, faults_of

WORKLOAD = "workload"
"""The role of which [objectives] speaks."""

_BOUNDS = frozenset({"at_least", "at_most", "cures", "within"})
"""Fields of objectives that say how much is allowed; the others say what is asked of whom."""


@dataclass(frozen=True)
class NotApplicable:
    """A scenario that a subject cannot be put through, and why."""

    slug: str
    title: str
    why: str


def fit(
    found: Found, subject: SubjectFile, objects: Sequence[Object] | None = None
) -> Found | NotApplicable:
    """A shipped scenario as it is for a user's subject, or why it does not apply.

    By what it promises, by the roles that the subject binds, and, where its rendered and checked
    `objects` are given, by what the faults can do to them.
    """
    scenario = found.scenario
    if not any(expect.verdict == "survived" for expect in scenario.variants.values()):
        return _not(scenario, "shows where a cure ends: no configuration is expected to survive it")
    released = any(fault.needs_release for fault in faults_of(scenario))
    if found.shared.files or scenario.roles or released:
        return _not(scenario, "brings objects that are written for its own sample application")
    fitted = for_subject(scenario, subject)
    missing = [role for role in required_roles(fitted) if role not in subject.roles]
    if missing:
        file = f"{subject.directory.name}/{FILE}"
        return _not(scenario, f"needs role {', '.join(missing)}, which {file} does not bind")
    if objects is not None and (cannot := unsupported(scenario, subject, objects)):
        return cannot
    return dataclasses.replace(found, scenario=fitted)


def unsupported(
    scenario: Scenario, subject: SubjectFile, objects: Sequence[Object]
) -> NotApplicable | None:
    """Why the scenario's faults can do nothing to these objects; None if they can."""
    for fault in faults_of(scenario):
        support = fault.target_support(subject.role(fault.target), objects)
        if support.state == "unsupported":
            return _not(scenario, f"{fault.describe()}: {support.why}")
    return None


def doubts(scenario: Scenario, subject: SubjectFile, objects: Sequence[Object]) -> list[str]:
    """What may keep the scenario's faults from showing anything of these objects, in words."""
    supports = [
        (fault, fault.target_support(subject.role(fault.target), objects))
        for fault in faults_of(scenario)
    ]
    return [f"{f.describe()}: {s.why}" for f, s in supports if s.state == "degraded"]


def required_roles(scenario: Scenario) -> list[str]:
    """The roles that a subject must bind for a scenario, in a stable order."""
    roles = ["entry", *(fault.target for fault in scenario.faults)]
    asked = [getattr(objective, "role", None) for objective in scenario.objectives]
    return list(dict.fromkeys([*roles, *(role for role in asked if role is not None)]))


def for_subject(scenario: Scenario, subject: SubjectFile) -> Scenario:
    """The scenario with the subject's variants, load and objectives.

    What the subject's file asks replaces the scenario's bound where both ask the same question, and
    is asked beside the scenario's questions where they do not.
    """
    objectives = {_question(each): each for each in scenario.objectives}
    objectives |= {_question(each): each for each in _asked(subject, faults_of(scenario))}
    variants = {AS_GIVEN: Expect("survived")}
    if subject.subject.variants is not None:
        for component in sorted(subject.subject.variants.iterdir()):
            if (component / "kustomization.yaml").is_file():
                variants[component.name] = Expect("survived")
    return dataclasses.replace(
        scenario,
        subject=subject.subject.name,
        load=_own_load(scenario.load, subject),
        objectives=tuple(objectives.values()),
        variants=variants,
    )


def _asked(subject: SubjectFile, faults: Sequence[Fault]) -> Iterator[Objective]:
    """What [objectives] asks, as objectives.

    Restarts that are a fault's only cure are no failure of the application's.
    """
    asked = subject.objectives
    if asked.availability is not None:
        yield availability(at_least=asked.availability.at_least, during=asked.availability.during)
    if asked.p99 is not None:
        yield latency(at_most=f"{asked.p99.at_most:g}s", during=asked.p99.during)
    if asked.restarts is not None:
        cures = sum(fault.cured_by_restarts for fault in faults if fault.target == WORKLOAD)
        yield restarts(WORKLOAD, at_most=asked.restarts, cures=cures)
    if asked.recovery is not None:
        yield recovery(within=asked.recovery)


def _question(objective: Objective) -> str:
    """What an objective asks of whom and when, without how much it allows."""
    asked = {key: value for key, value in objective.to_json().items() if key not in _BOUNDS}
    return str(sorted(asked.items()))


def _own_load(load: Load, subject: SubjectFile) -> Load:
    """The endpoints are always the subject's; rate and timeout where its file names them."""
    own, named = subject.load, subject.load.model_fields_set
    return dataclasses.replace(
        load,
        endpoints=None,
        rate=own.rate if "rate" in named else load.rate,
        timeout=f"{own.timeout:g}s" if "timeout" in named else load.timeout,
    )


def _not(scenario: Scenario, why: str) -> NotApplicable:
    return NotApplicable(scenario.slug, scenario.title, why)
