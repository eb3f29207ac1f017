"""What `deploy("deploy/")` asks for: the subject, the variant, and where proxies stand.

From there `harness.runs.prepare` leads to a placement, as it does for scenarios.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.declare import AS_GIVEN, Load
from harness.errors import FaultError, ManifestError, UsageError
from harness.faults import proxied
from harness.faults.base import Fault
from harness.images.supply import Supply
from harness.manifest.objects import Object, did_you_mean
from harness.manifest.subject_file import FILE, SubjectFile
from harness.manifest.subject_reading import load_subject
from harness.manifest.variants import Layers
from harness.runs import catalog, prepare
from harness.trial.placement import Placement

ENTRY = "entry"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What an author asked of `deploy`; `folders` are where a relative path may begin."""

    path: str | Path
    folders: Sequence[Path]
    variant: str | None
    scale: int
    in_path: Sequence[str] | None
    faults: Sequence[Fault]
    seed: int
    folder: Path
    test: str


async def place(request: Request, supply: Supply) -> Placement:
    """Everything decided and checked. Raises UsageError, ManifestError or FaultError."""
    subject = find_subject(request.path, request.folders)
    layers = find_layers(request.variant, subject, request.folders)
    manifests = (await prepare.read(subject, layers, supply)).scaled(request.scale)
    trial = secrets.token_hex(3)
    terms = prepare.Terms(
        trial=trial,
        faults=list(request.faults),
        load=Load(timeout=f"{subject.load.timeout:g}s"),
        alone=any(fault.scope != "namespace" for fault in request.faults),
        # Faults may be named after the deployment, too.
        extra_images=[role.greedy.image for role in subject.roles.values() if role.greedy],
        seed=request.seed,
        folder=request.folder / f"{subject.subject.name}-{trial}",
        declared={
            "test": request.test,
            "title": request.test,
            "variant": request.variant or AS_GIVEN,
        },
        in_path=_in_path(request, subject, manifests.objects),
    )
    return await prepare.place(manifests, terms, supply)


def find_subject(path: str | Path, folders: Sequence[Path]) -> SubjectFile:
    """The subject in a folder, or in its parent, or the sample subject of that name."""
    tried = list(dict.fromkeys((base / path).absolute() for base in folders))
    for folder in tried:
        for place_ in (folder, folder.parent):
            if folder.is_dir() and (place_ / FILE).is_file():
                return load_subject(place_)
    samples = sorted(p.parent.name for p in paths.apps().glob(f"*/{FILE}"))
    if str(path) in samples:
        return catalog.sample_subject(str(path))
    where = ", ".join(map(str, tried))
    found = [folder for folder in tried if folder.is_dir()]
    if found:
        raise UsageError(
            f"deploy({str(path)!r}): neither {found[0]} nor the folder above it has a {FILE}",
            remedy=f"write one: harness init {found[0]}",
        )
    raise UsageError(
        f"deploy({str(path)!r}): there is no such folder (looked for {where})",
        remedy="name the folder of your manifests or of harness.toml, relative to the test's own "
        f"folder or to where pytest was started; or a sample subject: {', '.join(samples)}",
    )


def find_layers(variant: str | None, subject: SubjectFile, folders: Sequence[Path]) -> Layers:
    """A variant by name: one of the subject, of a shipped scenario, or a path.

    It is a folder with a kustomize component, or one file of that name.
    """
    if variant is None or variant == AS_GIVEN:
        return Layers()
    tried = [base / variant for base in folders]
    if subject.subject.variants is not None:
        tried.insert(0, subject.subject.variants / variant)
    tried.append(paths.data("scenarios") / variant)
    for folder in tried:
        if (folder / "kustomization.yaml").is_file():
            return Layers(component=folder.absolute())
        if (file := folder.with_name(f"{folder.name}.yaml")).is_file():
            return Layers(files=(file.absolute(),))
    raise UsageError(
        f"{subject.subject.name} has no variant {variant!r}",
        remedy="name a folder with a kustomize component: below `variants` of harness.toml, of a "
        'shipped scenario ("liveness-checks-database/fragile"), or relative to the test',
    )


def _in_path(request: Request, subject: SubjectFile, objects: Sequence[Object]) -> tuple[str, ...]:
    """Before which roles a proxy stands: those asked for, or all that can have one."""
    if request.in_path is None:
        if request.faults:
            return ()
        return tuple(
            name
            for name, role in subject.roles.items()
            if name != ENTRY
            and role.ref.kind == "Service"
            and proxied.support(role, objects).state != "unsupported"
        )
    for name in request.in_path:
        if name not in subject.roles:
            raise UsageError(
                f"in_path names {name!r}, a role that {subject.directory / FILE} does not bind "
                f"{did_you_mean(name, subject.roles)}".rstrip(),
                remedy=f"bind it under [roles], or choose among {', '.join(subject.roles)}",
            )
        try:
            support = proxied.support(subject.role(name), objects)
        except ManifestError as error:
            raise FaultError(error.message, remedy=error.remedy) from error
        if support.state == "unsupported":
            raise FaultError(
                f"no proxy can stand before role {name!r}: {support.why}",
                remedy="leave it out of in_path; faults on its connections are not possible",
            )
    return tuple(request.in_path)
