"""The one road from a subject's manifests to a placement: rendered, checked, scaled, isolated.

Taken by scenarios (`harness.runs.plans`) and by `deploy()` (`harness.authoring.placing`). Nothing
is started on a cluster; images are in the registry afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.declare import Load
from harness.errors import ManifestError
from harness.faults.base import Fault
from harness.history.facts import Json
from harness.images.reading import checked
from harness.images.supply import Supply
from harness.manifest import images as manifest_images
from harness.manifest import scale as manifest_scale
from harness.manifest.isolation import isolate
from harness.manifest.objects import Object, name_of
from harness.manifest.subject_file import SubjectFile
from harness.manifest.variants import Layers
from harness.trial.placement import Placement


@dataclass(frozen=True, kw_only=True)
class Manifests:
    """One variant of a subject, rendered and checked, its times divided by `scale`.

    `after` are its objects once the release was applied; as `objects` where there is none. `notes`
    say what was left out or could not be done to the letter.
    """

    subject: SubjectFile
    objects: Sequence[Object]
    after: Sequence[Object]
    notes: tuple[str, ...] = ()
    scale: int = 1

    def scaled(self, by: int) -> Manifests:
        """Faithful manifests with every time divided. Raises ManifestError for times that it does
        not divide."""
        if by == 1:
            return self
        made = manifest_scale.scale(self.objects, by=by)
        after = manifest_scale.scale(self.after, by=by)
        notes = tuple(dict.fromkeys((*self.notes, *made.notes, *after.notes)))
        return replace(self, objects=made.objects, after=after.objects, notes=notes, scale=by)


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


async def read(subject: SubjectFile, layers: Layers, supply: Supply) -> Manifests:
    """The variant that these layers make. Raises ManifestError."""
    standing, after = await checked(subject, layers, kubectl=await supply.kubectl())
    if layers.release and after.objects == standing.objects:
        raise ManifestError(
            f"{layers.release[0]} changes nothing",
            remedy="a release must change an object or add one",
        )
    return Manifests(
        subject=subject, objects=standing.objects, after=after.objects, notes=standing.notes
    )


async def place(manifests: Manifests, terms: Terms, supply: Supply) -> Placement:
    """Everything decided. Raises ManifestError for images that cannot be had."""
    subject = manifests.subject
    everything = [*manifests.objects, *manifests.after]
    images = await supply.subject_images(subject, everything, more=terms.extra_images)
    isolation, after = (
        isolate(
            manifest_images.rewrite(objects, images),
            trial=terms.trial,
            default_namespace=subject.subject.namespace,
        )
        for objects in (manifests.objects, manifests.after)
    )
    released = [obj for obj in after.objects if obj not in isolation.objects]
    if new := [name_of(obj) for obj in released if obj["kind"] == "Namespace"]:
        raise ManifestError(
            f"the release brings namespace {', '.join(new)}",
            remedy="namespaces stand before a release arrives: put it into with/",
        )
    extra = {name: images[name] for name in terms.extra_images}
    return Placement(
        trial=terms.trial,
        subject=subject,
        isolation=isolation,
        released=released,
        faults=terms.faults,
        load=terms.load,
        exclusive=terms.alone or after.exclusive,
        scale=manifests.scale,
        seed=terms.seed,
        folder=terms.folder,
        images={**await supply.own_images(), **extra},
        declared={**terms.declared, "notes": [*manifests.notes, *after.why]},
        in_path=terms.in_path,
    )
