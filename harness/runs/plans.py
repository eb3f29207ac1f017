"""From scenarios and options to the plans of trials: which apply, in which variants, how scaled."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.declare import AS_GIVEN, Scenario
from harness.errors import UsageError
from harness.images.supply import Supply
from harness.manifest import scale as manifest_scale
from harness.manifest.subject_file import SubjectFile
from harness.manifest.subject_reading import load_subject
from harness.manifest.variants import Layers
from harness.runs import catalog, durations
from harness.runs.catalog import Found
from harness.runs.fitting import NotApplicable, fit, unsupported
from harness.runs.options import Job, Options, TrialEnd
from harness.runs.prepare import Manifests, Terms, place, read
from harness.trial.trial import TrialPlan


@dataclass(frozen=True)
class Prepared:
    """A scenario with its variants' manifests, rendered, checked and scaled by one factor."""

    scenario: Scenario
    variants: Mapping[str, Manifests]


def select(
    found: Sequence[Found], options: Options
) -> tuple[list[tuple[Found, SubjectFile]], list[NotApplicable]]:
    """Scenarios with their subjects; with a user's subject those that apply, fitted to it."""
    fitted: Sequence[Found | NotApplicable] = found
    if options.subject is not None:
        subject = load_subject(options.subject)
        fitted = [fit(each, subject) for each in found]
    left_out = [each for each in fitted if isinstance(each, NotApplicable)]
    return [
        (each, subject_of(each, options)) for each in fitted if isinstance(each, Found)
    ], left_out


def subject_of(found: Found, options: Options) -> SubjectFile:
    """Whom a scenario is about, with the roles that it brings itself."""
    if options.subject is None:
        subject = catalog.sample_subject(found.scenario.subject)
    else:
        subject = load_subject(options.subject)
    return subject.also(found.scenario.roles)


async def prepare(
    found: Found, subject: SubjectFile, options: Options, supply: Supply
) -> Prepared | NotApplicable:
    """Render and check every variant. Raises ManifestError for what cannot be applied or run."""
    scenario = found.scenario
    names = [v for v in scenario.variants if not options.variants or v in options.variants]
    if not names:
        raise UsageError(
            f"{scenario.slug} has no variant {', '.join(options.variants)}",
            remedy=f"choose among {', '.join(scenario.variants)}",
        )
    variants: dict[str, Manifests] = {}
    for name in names:
        layers = _layers(found, subject, name, own=options.subject is not None)
        variants[name] = await read(subject, layers, supply)
        left_out = unsupported(scenario, subject, variants[name].after)
        if left_out is not None:
            return left_out
    wanted = [o for each in variants.values() for o in (*each.objects, *each.after)]
    await supply.require_images(subject, wanted, more=_images_of_faults(scenario, subject))
    factor = 1 if options.faithful else _factor(scenario.scale, list(variants.values()))
    return Prepared(scenario, {name: made.scaled(factor) for name, made in variants.items()})


async def plan(
    prepared: Prepared,
    variant: str,
    supply: Supply,
    *,
    seed: int,
    folder: Path,
    after: TrialEnd | None = None,
) -> TrialPlan:
    """Everything decided for one trial; its images are in the registry afterwards.

    `after`: an attempt that came to nothing, in whose place this one is made, alone.
    """
    scenario, manifests = prepared.scenario, prepared.variants[variant]
    expect = scenario.variants[variant]
    terms = Terms(
        trial=secrets.token_hex(3),
        faults=catalog.faults_of(scenario),
        load=scenario.load,
        alone=scenario.exclusive or after is not None,
        extra_images=_images_of_faults(scenario, manifests.subject),
        seed=seed,
        folder=folder / f"{scenario.slug}__{variant}{'__alone' if after else ''}",
        declared={
            "slug": scenario.slug,
            "title": scenario.title,
            "variant": variant,
            "instead_of": after
            and {
                "folder": after.plan.placement.folder.name,
                "deciding": after.result.deciding,
            },
            "scenario": scenario.to_json(),
            "expect": {
                "verdict": expect.verdict,
                "shows": [each.to_json() for each in expect.shows],
            },
        },
    )
    placement = await place(manifests, terms, supply)
    return TrialPlan(placement=placement, scenario=scenario, variant=variant, expect=expect)


async def job(prepared: Prepared, variant: str, supply: Supply, *, seed: int, folder: Path) -> Job:
    """The plan of a trial, how long it will take, and how it is planned once more."""
    planned = partial(plan, prepared, variant, supply, seed=seed, folder=folder)
    first = await planned()
    return Job(
        plan=first,
        seconds=durations.expected(first),
        again=lambda after: planned(after=after),
    )


def _images_of_faults(scenario: Scenario, subject: SubjectFile) -> list[str]:
    faults = catalog.faults_of(scenario)
    return [name for fault in faults for name in fault.images(subject.role(fault.target))]


def _layers(found: Found, subject: SubjectFile, variant: str, *, own: bool) -> Layers:
    if not own:
        return found.layers(variant)
    variants = subject.subject.variants
    component = None if variant == AS_GIVEN or variants is None else variants / variant
    return Layers(component=component)


def _factor(asked: int, variants: Sequence[Manifests]) -> int:
    """The largest factor up to the one asked that keeps every ratio in every variant."""
    good = manifest_scale.good_factors(
        *(o for each in variants for o in (each.objects, each.after))
    )
    return max((factor for factor in good if factor <= asked), default=1)
