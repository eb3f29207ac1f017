"""From a subject's manifests and a variant to plain objects: reads files and runs kustomize.

The decisions (what kind of folder it is, which kustomization to generate) are pure and in
`harness.manifest.variants`. No cluster is touched here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HostError, ManifestError
from harness.host import processes
from harness.host.commands import TIMED_OUT, CommandError
from harness.manifest.objects import Object, Ref, metadata, ref_of
from harness.manifest.variants import (
    KUSTOMIZATION_FILES,
    MANIFEST_SUFFIXES,
    ORIGIN,
    kind_of_folder,
    kustomization,
    merged,
    split,
    without_uninstallable,
)
from harness.manifest.yaml import dump_all, load_all

_TIMEOUT = 60.0


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """Objects as the variant has them, the file that each came from, and what was left out."""

    objects: list[Object]
    sources: Mapping[Ref, str]
    notes: tuple[str, ...] = ()


async def render(
    manifests: Sequence[Path], *, variant: Path | None = None, kubectl: Path | None = None
) -> Rendered:
    """Objects of `manifests` (files, folders of YAML, kustomizations) under a variant's component.

    Plain YAML without a variant is read directly; everything else goes through
    `kubectl kustomize`, for which `kubectl` is needed. Raises `ManifestError` that names the file,
    `HostError` where there is no kubectl.
    """
    bases: list[Path] = []
    plain = variant is None
    for path in manifests:
        files, folder = _files(path)
        plain = plain and not folder
        bases += [path] if folder else files
    if plain:
        return _read(bases)
    return await _kustomize(bases, variant, _needed(kubectl, manifests[0]))


async def laid_over(made: Rendered, files: Sequence[Path], *, kubectl: Path | None) -> Rendered:
    """The objects with each file's documents merged into those of their names, or added.

    Raises `ManifestError` that names the file, `HostError` where kubectl is needed and there is
    none.
    """
    for file in files:
        patches, added = split(_read([file]).objects, made.objects)
        objects = made.objects
        if patches:
            objects = await _merged(objects, patches, file, _needed(kubectl, file))
        sources = {**made.sources, **{ref_of(obj): str(file) for obj in added}}
        made = Rendered(objects=[*objects, *added], sources=sources, notes=made.notes)
    return made


def _needed(kubectl: Path | None, path: Path) -> Path:
    if kubectl is None:
        raise HostError(
            f"rendering {path} needs kubectl, for its kustomize",
            remedy="run `harness up` once, which installs the harness's own kubectl, "
            "or put kubectl on the PATH",
        )
    return kubectl


def _files(path: Path) -> tuple[list[Path], bool]:
    """The manifest files of a path, and whether it is a kustomization instead."""
    if not path.exists():
        raise ManifestError(f"{path} is not there", remedy="correct subject.manifests")
    if path.is_file():
        return [path], False
    found = sorted(each for each in path.rglob("*") if each.is_file())
    names = [each.relative_to(path).as_posix() for each in found]
    if kind_of_folder(names, str(path)) == "kustomization":
        return [], True
    return [each for each in found if each.name.endswith(MANIFEST_SUFFIXES)], False


def _read(files: Sequence[Path]) -> Rendered:
    objects: list[Object] = []
    sources: dict[Ref, str] = {}
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(
                f"{file} cannot be read: {error}", remedy="make it a readable UTF-8 text file"
            ) from error
        for obj in load_all(text, str(file)):
            objects.append(obj)
            sources[ref_of(obj)] = str(file)
    kept, notes = without_uninstallable(objects)
    return Rendered(objects=kept, sources=sources, notes=notes)


async def _kustomize(bases: Sequence[Path], variant: Path | None, kubectl: Path) -> Rendered:
    with tempfile.TemporaryDirectory(prefix="harness-render-") as made:
        folder = _generate(Path(made), bases, variant)
        text = await _build(folder, kubectl, f"{variant} over {bases[0]}" if variant else bases[0])
    objects = load_all(text, "kustomize's output")
    sources = {}
    for obj in objects:
        origin = _take_origin(obj, folder)
        if origin:
            sources[ref_of(obj)] = origin
    kept, notes = without_uninstallable(objects)
    return Rendered(objects=kept, sources=sources, notes=notes)


def _generate(folder: Path, bases: Sequence[Path], variant: Path | None) -> Path:
    # kustomize refuses absolute roots, and relative ones must not lead through symlinks.
    folder = folder.resolve()
    relative = [os.path.relpath(base.resolve(), folder) for base in bases]
    components = [os.path.relpath(variant.resolve(), folder)] if variant else []
    _write(folder, kustomization(relative, components))
    return folder


async def _merged(
    objects: Sequence[Object], patches: Sequence[Object], file: Path, kubectl: Path
) -> list[Object]:
    with tempfile.TemporaryDirectory(prefix="harness-render-") as made:
        (Path(made) / "objects.yaml").write_text(dump_all(objects), encoding="utf-8")
        _write(Path(made), merged("objects.yaml", patches))
        text = await _build(Path(made), kubectl, file)
    result = load_all(text, "kustomize's output")
    for obj in result:
        _take_origin(obj, Path(made))
    return result


def _write(folder: Path, document: Object) -> None:
    (folder / KUSTOMIZATION_FILES[0]).write_text(dump_all([document]), encoding="utf-8")


async def _build(folder: Path, kubectl: Path, what: str | Path) -> str:
    command = [str(kubectl), "kustomize", str(folder), "--load-restrictor", "LoadRestrictionsNone"]
    try:
        done = await processes.run(command, timeout=_TIMEOUT)
    except CommandError as error:
        if error.code != TIMED_OUT:
            raise
        raise ManifestError(
            f"kustomize did not finish {what} in {_TIMEOUT:.0f} s",
            remedy="a base or resource on the network? vendor it, so that a build needs no network",
        ) from error
    if done.code:
        raise ManifestError(
            f"kustomize cannot build {what}: {_short(done.error)}", remedy=_remedy(done.error)
        )
    return done.stdout.decode()


def _short(said: str) -> str:
    """kubectl's last line without its log header."""
    last = said.splitlines()[-1] if said else "no message"
    _, _, inner = last.partition('err="')
    return (inner.removesuffix('"') or last).replace('\\"', '"').removeprefix("error: ")


def _remedy(said: str) -> str:
    if "no matches for Id" in said or "no resource matches" in said:
        return "a patch of the variant names an object that the manifests do not have"
    if "expected kind" in said or "to be of kind" in said or "'Component'" in said:
        return "a variant's kustomization needs kind: Component (kustomize.config.k8s.io/v1alpha1)"
    if "already registered id" in said or "may not add resource" in said:
        return "the same object is in two files: remove one"
    if "unable to find one of" in said:
        return "the folder needs a kustomization.yaml"
    return "run `kubectl kustomize` on the folder to see the same error, and correct it there"


def _take_origin(obj: Object, folder: Path) -> str | None:
    """Remove kustomize's origin annotation; the file in it, which is relative to `folder`."""
    annotations = metadata(obj).get("annotations")
    if not annotations or ORIGIN not in annotations:
        return None
    origin = annotations.pop(ORIGIN)
    if not annotations:
        del obj["metadata"]["annotations"]
    lines = dict(line.strip().split(": ", 1) for line in origin.splitlines() if ": " in line)
    if "repo" in lines:
        return None
    relative = lines.get("path") or lines.get("configuredIn")
    return os.path.normpath(folder / relative) if relative else None
