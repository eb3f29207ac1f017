"""The one road from a subject's manifests to a placement: rendered, checked, scaled, isolated.

Taken by scenarios (`harness.runs.plans`) and by `deploy()` (`harness.authoring.placing`). Nothing
is started on a cluster; images are in the registry afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.declare import Load
from harness.faults.base import Fault
from harness.history.facts import Json
from harness.images.reading import checked
from harness.images.supply import Supply
from harness.manifest import images as manifest_images
from harness.manifest import scale as manifest_scale
from harness.manifest.isolation import isolate
from harness.manifest.objects import Object
from harness.manifest.subject_file import SubjectFile
from harness.trial.placement import Placement


@dataclass(frozen=True, kw_only=True)
class Manifests:
    """One variant of a subject, rendered and checked, its times divided by `scale`.

    `notes` say what was left out or could not be done to the letter.
    """

    subject: SubjectFile
    objects: Sequence[Object]
    notes: tuple[str, ...] = ()
    scale: int = 1

    def scaled(self, by: int) -> Manifests:
        """Faithful manifests with every time divided. Raises ManifestError for times that it does
        not divide."""
        if by == 1:
            return self
        made = manifest_scale.scale(self.objects, by=by)
        return replace(self, objects=made.objects, notes=(*self.notes, *made.notes), scale=by)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a placement is for, beside its manifests; see `Placement` for the fields it shares.

    `alone`: the cluster is needed alone, whatever the manifests are. `extra_images`: names of
    images beside those of the manifests that faults may run.
    """

    trial: str
    faults: Sequence[Fault]
    load: Load
    alone: bool
    extra_images: Sequence[str]
    seed: int
    folder: Path
    declared: Json
    in_path: Sequence[str] = ()


async def read(subject: SubjectFile, component: Path | None, supply: Supply) -> Manifests:
    """The variant that a kustomize component makes, None: as given. Raises ManifestError."""
    made = await checked(subject, component=component, kubectl=await supply.kubectl())
    return Manifests(subject=subject, objects=made.objects, notes=tuple(made.notes))


async def place(manifests: Manifests, terms: Terms, supply: Supply) -> Placement:
    """Everything decided. Raises ManifestError for images that cannot be had."""
    subject = manifests.subject
    images = await supply.subject_images(subject, manifests.objects, more=terms.extra_images)
    isolation = isolate(
        manifest_images.rewrite(manifests.objects, images),
        trial=terms.trial,
        default_namespace=subject.subject.namespace,
    )
    extra = {name: images[name] for name in terms.extra_images}
    return Placement(
        trial=terms.trial,
        subject=subject,
        isolation=isolation,
        faults=terms.faults,
        load=terms.load,
        exclusive=terms.alone or isolation.exclusive,
        scale=manifests.scale,
        seed=terms.seed,
        folder=terms.folder,
        images={**await supply.own_images(), **extra},
        declared={**terms.declared, "notes": [*manifests.notes, *isolation.why]},
        in_path=terms.in_path,
    )
