"""`harness init`: a first `harness.toml` for an application, every guess explained in it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.running import err, out, until_done
from harness.errors import ManifestError, UsageError
from harness.images.reading import has_kustomization, read
from harness.images.supply import KUBERNETES_VERSION
from harness.manifest.images import ImageName, images
from harness.manifest.propose import propose
from harness.manifest.subject_file import FILE
from harness.manifest.subject_reading import parse_subject
from harness.manifest.validate import problems
from harness.manifest.variants import KUSTOMIZATION_FILES, MANIFEST_SUFFIXES
from harness.manifest.yaml import load_all

# Where projects keep what they ship, most telling first.
_FOLDERS = ("deploy", "k8s", "kubernetes", "manifests", "deployment", "kube", "kustomize", "config")
_PRODUCTION = ("production", "prod", "live")


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the application.")],
    manifests: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="What ships, relative to DIR: a kustomization, a folder or file of YAML (several "
            "times for several). Default: looked for.",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print it instead of writing it.")] = False,
    force: Annotated[bool, typer.Option(help="Replace a harness.toml that is there.")] = False,
) -> None:
    """Propose a harness.toml for your application.

    Reads the manifests, guesses which objects are the entry, the workload and the database, and
    writes the guesses down with the reason for each. Read it, correct it, then: harness run
    --subject DIR.
    """
    target = directory / FILE
    if not directory.is_dir():
        raise UsageError(f"{directory} is no folder", remedy="name the application's folder")
    if target.exists() and not (force or show):
        raise UsageError(f"{target} is there already", remedy="edit it, or replace it with --force")
    found = manifests or find_manifests(directory)
    objects = until_done(read([directory / each for each in found])).objects
    builds = dict(find_builds(directory, list(images(objects))))
    text = propose(
        objects,
        name=_name(directory),
        manifests=found,
        builds=builds,
        spare=[each for each in _build_folders(directory) if each not in builds.values()],
    )
    subject = parse_subject(tomllib.loads(text), target)
    if show:
        out.print(text, markup=False, end="")
    else:
        target.write_text(text, encoding="utf-8")
        err.print(f"wrote {target}")
    for problem in problems(objects, version=KUBERNETES_VERSION, roles=subject.roles):
        err.print(f"to correct: {problem} ({problem.remedy})", markup=False)
    if not show:
        err.print(f"read it, correct it, then: harness run --subject {directory}", markup=False)


def find_manifests(directory: Path) -> list[str]:
    """What the application ships, as paths relative to its folder.

    A kustomization wins over plain YAML, an overlay for production over others. Raises
    `ManifestError` where nothing is found.
    """
    if has_kustomization(directory):
        return ["."]
    for folder in (directory / name for name in _FOLDERS if (directory / name).is_dir()):
        if has_kustomization(folder):
            return [_relative(folder, directory)]
        overlays = sorted({path.parent for path in _kustomizations(folder)})
        if overlays:
            return [_relative(min(overlays, key=_production_first), directory)]
        if any(_holds_objects(path) for path in _yaml_files(folder)):
            return [_relative(folder, directory)]
    loose = [path for path in sorted(directory.iterdir()) if _holds_objects(path)]
    if loose:
        return [path.name for path in loose]
    if (directory / "Chart.yaml").exists() or list(directory.glob("*/Chart.yaml")):
        raise ManifestError(
            f"{directory} has a Helm chart and no manifests",
            remedy="render it, helm template my-release CHART > rendered.yaml, and name the file: "
            f"harness init {directory} --manifests rendered.yaml",
        )
    raise ManifestError(
        f"{directory} has no Kubernetes manifests where they usually are "
        f"({', '.join(_FOLDERS)}, or the folder itself)",
        remedy=f"say where they are: harness init {directory} --manifests PATH",
    )


def find_builds(directory: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Images whose name fits a folder with a Dockerfile, with that folder."""
    for name in names:
        last = ImageName.parse(name).repository.rpartition("/")[2]
        for folder in _build_folders(directory):
            called = (directory / folder).resolve().name
            if called == last or (folder == "." and len(names) == 1):
                yield name, folder
                break


def _build_folders(directory: Path) -> list[str]:
    """Folders with a Dockerfile, relative to the application's."""
    found = [path for depth in ("", "*/", "*/*/") for path in directory.glob(f"{depth}Dockerfile")]
    return [_relative(path.parent, directory) for path in sorted(found)]


def _name(directory: Path) -> str:
    letters = "".join(c if c.isalnum() and c.isascii() else "-" for c in directory.resolve().name)
    return letters.lower().strip("-")[:40].strip("-") or "my-app"


def _kustomizations(folder: Path) -> list[Path]:
    return [path for name in KUSTOMIZATION_FILES for path in folder.rglob(name)]


def _production_first(folder: Path) -> tuple[int, str]:
    for rank, word in enumerate(_PRODUCTION):
        if folder.name == word:
            return rank, str(folder)
    return len(_PRODUCTION) + (folder.name != "base"), str(folder)


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in MANIFEST_SUFFIXES)


def _holds_objects(path: Path) -> bool:
    if path.suffix not in MANIFEST_SUFFIXES or not path.is_file():
        return False
    try:
        return bool(load_all(path.read_text(encoding="utf-8"), str(path)))
    except (ManifestError, UnicodeDecodeError):
        return False


def _relative(path: Path, directory: Path) -> str:
    return path.relative_to(directory).as_posix()
