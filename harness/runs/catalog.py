"""Finding scenarios on disk, and which of them apply to a subject.

A scenario is a folder with a `scenario.py` that defines `scenario`, and one kustomize component per
variant beside it. Nothing is rendered or run here.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.declare import AS_GIVEN, Expect, Load, Scenario
from harness.errors import HarnessError, UsageError
from harness.faults.base import Fault
from harness.manifest.objects import Object, did_you_mean
from harness.manifest.subject_file import SubjectFile, load_subject

FILE = "scenario.py"


@dataclass(frozen=True)
class Found:
    """A scenario and its folder."""

    scenario: Scenario
    folder: Path

    @property
    def slug(self) -> str:
        """The folder's name, by which the scenario is called everywhere."""
        return self.scenario.slug

    def component(self, variant: str) -> Path | None:
        """The variant's kustomize component; None if the variant is the subject unpatched."""
        folder = self.folder / variant
        return folder if (folder / "kustomization.yaml").is_file() else None


@dataclass(frozen=True)
class NotApplicable:
    """A scenario that a subject cannot be put through, and why."""

    slug: str
    title: str
    why: str


def discover(folder: Path | None = None) -> list[Found]:
    """All scenarios below a folder (default: the shipped ones), by slug."""
    root = folder or paths.data("scenarios")
    return [load_scenario(p.parent) for p in sorted(root.glob(f"*/{FILE}"))]


def load_scenario(folder: Path) -> Found:
    """The scenario in a folder. Raises UsageError if its file cannot be run or defines none."""
    path = folder / FILE
    name = f"harness_scenario_{folder.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"{path} is not there", remedy="name a folder with a scenario.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except HarnessError as error:
        raise UsageError(f"{path}: {error.message}", remedy=error.remedy) from error
    except Exception as error:
        raise UsageError(
            f"{path} cannot be run: {type(error).__name__}: {error}",
            remedy="correct the file; it is ordinary Python",
        ) from error
    scenario = getattr(module, "scenario", None)
    if not isinstance(scenario, Scenario):
        raise UsageError(
            f"{path} defines no `scenario`", remedy="define scenario = Scenario(title=..., ...)"
        )
    return Found(dataclasses.replace(scenario, slug=folder.name), folder)


def choose(found: Sequence[Found], names: Sequence[str]) -> list[Found]:
    """The named scenarios (all if none is named). UsageError with a suggestion for unknown ones."""
    if not names:
        return list(found)
    by_slug = {f.slug: f for f in found}
    for name in names:
        if name not in by_slug:
            raise UsageError(
                f"there is no scenario {name!r} {did_you_mean(name, by_slug)}".rstrip(),
                remedy="list them: harness list",
            )
    return [by_slug[name] for name in names]


def sample_subject(name: str) -> SubjectFile:
    """A sample subject by name."""
    folder = paths.apps() / name
    if not (folder / "harness.toml").is_file():
        known = ", ".join(sorted(p.parent.name for p in paths.apps().glob("*/harness.toml")))
        raise UsageError(
            f"there is no sample subject {name!r}",
            remedy=f"use one of: {known}; or name a folder of your own with --subject",
        )
    return load_subject(folder)


def required_roles(scenario: Scenario) -> list[str]:
    """The roles that a subject must bind for a scenario, in a stable order."""
    roles = ["entry"]
    roles += [fault.target for fault in scenario.faults]
    for objective in scenario.objectives:
        role = getattr(objective, "role", None)
        if role is not None:
            roles.append(role)
    return list(dict.fromkeys(roles))


def applicable(
    found: Found, subject: SubjectFile, objects: Sequence[Object] | None = None
) -> NotApplicable | None:
    """Why a scenario does not apply to a subject; None if it does.

    By the roles that the subject binds, and, where its rendered and checked `objects` are given, by
    what the faults can do to them.
    """
    scenario = found.scenario
    missing = [r for r in required_roles(scenario) if r not in subject.roles]
    if missing:
        file = f"{subject.directory.name}/harness.toml"
        why = f"needs role {', '.join(missing)}, which {file} does not bind"
        return NotApplicable(scenario.slug, scenario.title, why)
    for fault in faults_of(scenario) if objects is not None else ():
        support = fault.target_support(subject.role(fault.target), objects or ())
        if support.state == "unsupported":
            why = f"{fault.describe()}: {support.why}"
            return NotApplicable(scenario.slug, scenario.title, why)
    return None


def fitted(found: Found, subject: SubjectFile) -> Found:
    """A scenario that applies, as it is for a user's subject."""
    return dataclasses.replace(found, scenario=for_subject(found.scenario, subject))


def for_subject(scenario: Scenario, subject: SubjectFile) -> Scenario:
    """A shipped scenario for a user's subject: unpatched, expected to survive, own load and bounds.

    What the subject's file says under [objectives] and [load] replaces what the scenario says.
    """
    asked = subject.objectives
    replaced = []
    for objective in scenario.objectives:
        changes: dict[str, object] = {}
        if objective.name == "availability" and asked.availability is not None:
            changes["at_least"] = asked.availability
        if objective.name == "restarts" and asked.restarts is not None:
            changes["at_most"] = asked.restarts
        if objective.name == "recovery" and asked.recovery is not None:
            changes["within"] = asked.recovery
        if objective.name == "latency" and asked.p99 is not None:
            changes["at_most"] = f"{asked.p99:g}s"
        replaced.append(dataclasses.replace(objective, **changes) if changes else objective)  # type: ignore[type-var]
    variants = {AS_GIVEN: Expect("survived")}
    if subject.subject.variants is not None:
        for component in sorted(subject.subject.variants.iterdir()):
            if (component / "kustomization.yaml").is_file():
                variants[component.name] = Expect("survived")
    return dataclasses.replace(
        scenario,
        subject=subject.subject.name,
        load=_own_load(scenario.load, subject),
        objectives=tuple(replaced),
        variants=variants,
    )


def _own_load(load: Load, subject: SubjectFile) -> Load:
    """The endpoints are always the subject's; rate and timeout where its file names them."""
    own, named = subject.load, subject.load.model_fields_set
    return dataclasses.replace(
        load,
        endpoints=None,
        rate=own.rate if "rate" in named else load.rate,
        timeout=f"{own.timeout:g}s" if "timeout" in named else load.timeout,
    )


def faults_of(scenario: Scenario) -> list[Fault]:
    """The faults with the cycle that a trial drives."""
    return [f for f in scenario.faults if isinstance(f, Fault)]
