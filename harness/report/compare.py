"""The fields in which the variants of a scenario differ: what else is equal, so they decide.

Works on the manifests as applied. What two variants must not differ in for another reason than the
configuration (trial names, defaults, managed fields) is taken out by `harness.manifest.diff`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.history.facts import Json
from harness.manifest.diff import diff
from harness.report.model import Comparison, Difference, Trial


def compare(trials: Iterable[tuple[Trial, str, list[Json]]]) -> list[Comparison]:
    """One comparison per scenario that ran in more than one variant with manifests recorded.

    Takes (trial, trial id, objects as applied); the first trial of each variant stands for it.
    """
    scenarios: dict[str, dict[str, tuple[Trial, str, list[Json]]]] = {}
    for trial, name, objects in trials:
        if objects:
            scenarios.setdefault(trial.slug, {}).setdefault(trial.variant, (trial, name, objects))
    return [_compare(slug, by) for slug, by in scenarios.items() if len(by) > 1]


def _compare(slug: str, by_variant: dict[str, tuple[Trial, str, list[Json]]]) -> Comparison:
    (first, (_, first_id, first_objects)), *others = by_variant.items()
    fields: dict[tuple[str, str], dict[str, Any]] = {}
    base: dict[tuple[str, str], Any] = {}
    for variant, (_, name, objects) in others:
        for change in diff(first_objects, objects, trials=(first_id, name)):
            key = (change.object, change.path)
            fields.setdefault(key, {})[variant] = change.after
            base[key] = change.before
    variants = [first, *(v for v, _ in others)]
    return Comparison(
        slug=slug,
        variants=variants,
        differences=[
            Difference(
                object=obj,
                path=path,
                # A variant that does not differ from the first here has the first one's value.
                values={v: values.get(v, base[obj, path]) for v in variants},
            )
            for (obj, path), values in fields.items()
        ],
    )
