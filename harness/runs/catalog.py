"""Finding scenarios on disk.

A scenario is a folder with a `scenario.py` that defines `scenario`, and beside it what each variant
lays over the subject (see `Found.layers`). Nothing is rendered or run here; which of them apply to
a user's own application, and how, is in `harness.runs.fitting`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.declare import Scenario
from harness.errors import HarnessError, UsageError
from harness.faults.base import Fault
from harness.host import user_packages
from harness.manifest.objects import did_you_mean
from harness.manifest.subject_file import SubjectFile
from harness.manifest.subject_reading import load_subject
from harness.manifest.variants import Layers
from harness.units import seconds

FILE = "scenario.py"
RELEASE = "release.yaml"


@dataclass(frozen=True)
class Found:
    """A scenario and its folder."""

    scenario: Scenario
    folder: Path

    @property
    def slug(self) -> str:
        """The folder's name, by which the scenario is called everywhere."""
        return self.scenario.slug

    @property
    def shared(self) -> Layers:
        """What all variants have in common: `with/*.yaml` stands, `release.yaml` arrives."""
        return Layers(
            files=tuple(sorted((self.folder / "with").glob("*.yaml"))),
            release=_present(self.folder / RELEASE),
        )

    def layers(self, variant: str) -> Layers:
        """What a shipped variant lays over its subject.

        A kustomize component in a folder of its name, or one file of its name, which comes after
        what all share. A release of its own comes after the one that all share.
        """
        folder, shared = self.folder / variant, self.shared
        return Layers(
            component=folder if (folder / "kustomization.yaml").is_file() else None,
            files=(*shared.files, *_present(self.folder / f"{variant}.yaml")),
            release=(*shared.release, *_present(folder / RELEASE)),
        )


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
    _found_by_others(scenario)
    found = Found(dataclasses.replace(scenario, slug=folder.name), folder)
    _releases(found)
    return found


def _releases(found: Found) -> None:
    """Raises UsageError for a release that nothing applies, and for a fault that has none."""
    asked = any(fault.needs_release for fault in faults_of(found.scenario))
    for variant in found.scenario.variants:
        if asked != bool(found.layers(variant).release):
            what = "a fault applies a release" if asked else "no fault applies its release"
            raise UsageError(
                f"{found.folder / FILE}: {what}, and variant {variant} "
                f"{'has none' if asked else 'has one'}",
                remedy=f"{RELEASE} in the scenario's folder or in {variant}/ belongs to "
                "faults.Release(role)",
            )


def _present(path: Path) -> tuple[Path, ...]:
    return (path,) if path.is_file() else ()


def _found_by_others(scenario: Scenario) -> None:
    """Raises UsageError for what the process that heals or judges later would not find again."""
    shown = [each for expect in scenario.variants.values() for each in expect.shows]
    packages = user_packages.packages()
    for each in (*faults_of(scenario), *scenario.objectives, *shown):
        module = type(each).__module__
        if module.partition(".")[0] not in packages:
            raise UsageError(
                f"{type(each).__name__} is declared in {module}: another process, which heals or "
                "judges what this one leaves, would not find it",
                remedy="put it into a package of yours and name its module as an entry point: "
                f'[project.entry-points."{user_packages.GROUP}"] mine = "my_package.faults"',
            )


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


def faults_of(scenario: Scenario) -> list[Fault]:
    """The faults, with the cycle that a trial drives. Raises UsageError for what is none, and for
    an `after` that is no time."""
    faults = []
    for each in scenario.faults:
        if not isinstance(each, Fault):
            raise UsageError(
                f"{each!r} cannot be injected: it is no harness.faults.base.Fault",
                remedy="derive it from Fault, which has the cycle that a trial drives",
            )
        if each.after not in (None, "felt"):
            seconds(each.after)
        faults.append(each)
    return faults
