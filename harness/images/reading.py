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
    return await render(paths, kubectl=await _present_kubectl(paths))


async def as_given(subject: SubjectFile) -> list[Object]:
    """A subject's objects without any variant, checked. Raises ManifestError for what is wrong."""
    kubectl = await _present_kubectl(subject.subject.manifests)
    return (await checked(subject, component=None, kubectl=kubectl)).objects


async def checked(
    subject: SubjectFile, *, component: Path | None, kubectl: Path | None
) -> Rendered:
    """A subject's objects under a variant's component, None: as given.

    Raises ManifestError for what cannot be rendered or would not be accepted by a cluster.
    """
    made = await render(subject.subject.manifests, variant=component, kubectl=kubectl)
    check(made.objects, version=KUBERNETES_VERSION, sources=made.sources, roles=subject.roles)
    return made


async def _present_kubectl(paths: Sequence[Path]) -> Path | None:
    """None where nothing needs one."""
    if not any(has_kustomization(path) for path in paths):
        return None
    present = shutil.which("kubectl")
    return Path(present) if present else await Supply().kubectl()


def has_kustomization(path: Path) -> bool:
    """Whether a path is a folder that kustomize can build."""
    return path.is_dir() and any((path / name).is_file() for name in KUSTOMIZATION_FILES)
