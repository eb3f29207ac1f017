"""Reading an application's manifests where no cluster is needed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.images.render import Rendered, laid_over, render
from harness.images.supply import KUBERNETES_VERSION, Supply
from harness.manifest.objects import Object
from harness.manifest.subject_file import SubjectFile
from harness.manifest.validate import check
from harness.manifest.variants import KUSTOMIZATION_FILES, Layers


async def read(paths: Sequence[Path]) -> Rendered:
    """Rendered with the kubectl of this machine if it has one, which saves setting up ours."""
    return await render(paths, kubectl=await _present_kubectl(paths))


async def as_given(subject: SubjectFile) -> list[Object]:
    """A subject's objects without any variant, checked. Raises ManifestError for what is wrong."""
    kubectl = await _present_kubectl(subject.subject.manifests)
    standing, _ = await checked(subject, Layers(), kubectl=kubectl)
    return standing.objects


async def checked(
    subject: SubjectFile, layers: Layers, *, kubectl: Path | None
) -> tuple[Rendered, Rendered]:
    """A subject's objects under a variant's layers: what stands, and what does after the release.

    Raises ManifestError for what cannot be rendered or would not be accepted by a cluster.
    """
    base = await render(subject.subject.manifests, variant=layers.component, kubectl=kubectl)
    standing = await laid_over(base, layers.files, kubectl=kubectl)
    after = await laid_over(standing, layers.release, kubectl=kubectl)
    # A role may be bound to what only the release creates.
    for made, roles in ((standing, None), (after, subject.roles)):
        if made is after or layers.release:
            check(made.objects, version=KUBERNETES_VERSION, sources=made.sources, roles=roles)
    return standing, after


async def _present_kubectl(paths: Sequence[Path]) -> Path | None:
    """None where nothing needs one."""
    if not any(has_kustomization(path) for path in paths):
        return None
    present = shutil.which("kubectl")
    return Path(present) if present else await Supply().kubectl()


def has_kustomization(path: Path) -> bool:
    """Whether a path is a folder that kustomize can build."""
    return path.is_dir() and any((path / name).is_file() for name in KUSTOMIZATION_FILES)
