"""Reading an application's manifests where no cluster is needed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.images.render import Rendered, render
from harness.images.supply import KUBERNETES_VERSION, Supply
from harness.manifest.objects import Object
from harness.manifest.subject_file import SubjectFile
from harness.manifest.validate import check
from harness.manifest.variants import KUSTOMIZATION_FILES


async def read(paths: Sequence[Path]) -> Rendered:
    """Rendered with the kubectl of this machine if it has one, which saves setting up ours."""
    kubectl = None
    if any(has_kustomization(path) for path in paths):
        present = shutil.which("kubectl")
        kubectl = Path(present) if present else await Supply().kubectl()
    return await render(paths, kubectl=kubectl)


async def as_given(subject: SubjectFile) -> list[Object]:
    """A subject's objects without any variant, checked. Raises ManifestError for what is wrong."""
    made = await read(subject.subject.manifests)
    check(made.objects, version=KUBERNETES_VERSION, sources=made.sources, roles=subject.roles)
    return made.objects


def has_kustomization(path: Path) -> bool:
    """Whether a path is a folder that kustomize can build."""
    return path.is_dir() and any((path / name).is_file() for name in KUSTOMIZATION_FILES)
