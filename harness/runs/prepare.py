"""From a scenario and a subject to placements: chosen, rendered, checked, scaled, isolated.

Nothing here starts anything on a cluster; images are in the registry afterwards.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.clusters import Cluster
from harness.declare import AS_GIVEN, Scenario
from harness.errors import UsageError
from harness.images.render import render
from harness.images.supply import Supply
from harness.manifest import images as manifest_images
from harness.manifest import scale as manifest_scale
from harness.manifest import validate
from harness.manifest.isolation import Isolation, isolate
from harness.manifest.objects import Object
from harness.manifest.subject_file import SubjectFile, load_subject
from harness.runs import catalog
from harness.runs.catalog import Found
from harness.runs.fitting import NotApplicable, fit, unsupported
from harness.runs.options import Options
from harness.trial.placement import Placement
from harness.trial.trial import TrialPlan


@dataclass(frozen=True)
class Prepared:
    """A scenario with its variants' manifests, rendered and checked; nothing has started."""

    scenario: Scenario
    subject: SubjectFile
    variants: Mapping[str, Sequence[Object]]
    scale: int
    notes: tuple[str, ...]


def select(
    found: Sequence[Found], options: Options
) -> tuple[list[tuple[Found, SubjectFile]], list[NotApplicable]]:
    """Scenarios with their subjects; with a user's subject only those whose roles it binds."""
    if options.subject is None:
        return [(f, catalog.sample_subject(f.scenario.subject)) for f in found], []
    subject = load_subject(options.subject)
    chosen: list[tuple[Found, SubjectFile]] = []
    left_out: list[NotApplicable] = []
    for each in found:
        fitted = fit(each, subject)
        if isinstance(fitted, NotApplicable):
            left_out.append(fitted)
        else:
            chosen.append((fitted, subject))
    return chosen, left_out


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
    rendered: dict[str, list[Object]] = {}
    notes: list[str] = []
    kubectl = await supply.kubectl()
    for name in names:
        component = _component(found, subject, name, own=options.subject is not None)
        made = await render(subject.subject.manifests, variant=component, kubectl=kubectl)
        validate.check(
            made.objects,
            version=supply.kubernetes_version,
            sources=made.sources,
            roles=subject.roles,
        )
        rendered[name] = made.objects
        notes += made.notes
        left_out = unsupported(scenario, subject, made.objects)
        if left_out is not None:
            return left_out
    wanted = [each for objects in rendered.values() for each in objects]
    await supply.require_images(subject, wanted, more=_images_of_faults(scenario, subject))
    factor = 1 if options.faithful else _factor(scenario.scale, list(rendered.values()))
    if factor > 1:
        for name, objects in rendered.items():
            scaled = manifest_scale.scale(objects, by=factor)
            rendered[name] = scaled.objects
            notes += scaled.notes
    return Prepared(scenario, subject, rendered, factor, tuple(dict.fromkeys(notes)))


def _images_of_faults(scenario: Scenario, subject: SubjectFile) -> list[str]:
    faults = catalog.faults_of(scenario)
    return [name for fault in faults for name in fault.images(subject.role(fault.target))]


def _component(found: Found, subject: SubjectFile, variant: str, *, own: bool) -> Path | None:
    if not own:
        return found.component(variant)
    if variant == AS_GIVEN or subject.subject.variants is None:
        return None
    return subject.subject.variants / variant


def _factor(asked: int, variants: list[list[Object]]) -> int:
    """The largest factor up to the one asked that keeps every ratio in every variant."""
    return max((f for f in manifest_scale.good_factors(*variants) if f <= asked), default=1)


async def plan(
    prepared: Prepared,
    variant: str,
    supply: Supply,
    cluster: Cluster,
    *,
    seed: int,
    folder: Path,
) -> TrialPlan:
    """Everything decided for one trial; its images are in the registry afterwards."""
    scenario, subject = prepared.scenario, prepared.subject
    objects = prepared.variants[variant]
    faults = catalog.faults_of(scenario)
    more = _images_of_faults(scenario, subject)
    images = await supply.subject_images(subject, objects, more=more)
    trial_id = secrets.token_hex(3)
    isolation: Isolation = isolate(
        manifest_images.rewrite(objects, images),
        trial=trial_id,
        default_namespace=subject.subject.namespace,
    )
    expect = scenario.variants[variant]
    placement = Placement(
        trial=trial_id,
        subject=subject,
        isolation=isolation,
        faults=faults,
        load=scenario.load,
        exclusive=scenario.exclusive or isolation.exclusive,
        scale=prepared.scale,
        seed=seed,
        folder=folder / f"{scenario.slug}__{variant}",
        images={**await supply.own_images(), **{name: images[name] for name in more}},
        declared={
            "slug": scenario.slug,
            "title": scenario.title,
            "variant": variant,
            "scenario": scenario.to_json(),
            "expect": {
                "verdict": expect.verdict,
                "shows": [each.to_json() for each in expect.shows],
            },
            "notes": [*prepared.notes, *isolation.why],
        },
    )
    return TrialPlan(placement=placement, scenario=scenario, variant=variant, expect=expect)
