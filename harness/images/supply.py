"""What trials need besides a cluster: kubectl, and every image by digest in the local registry.

Made once per run and on demand; whatever exists already costs nothing. Building and pushing is in
`harness.images.publish`; this module decides which images, and says so when one cannot be had.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from harness import paths
from harness.errors import ManifestError
from harness.host import go_programs
from harness.host.engine import Engine, ensure_engine
from harness.images import publish
from harness.images.node_image import node_image
from harness.images.registry import Registry, ensure_registry
from harness.manifest.images import images as images_of
from harness.manifest.objects import Object
from harness.manifest.subject_file import SubjectFile

KUBERNETES_VERSION = "1.36"
"""Offline schemas are of this release, the one that the node image runs."""


@dataclass
class Supply:
    """Lazily made: an engine, a registry, programs and images, each looked for once."""

    _published: dict[tuple[Path, str], str] = field(default_factory=dict)
    """References by digest, by the subject's folder and the image's name."""

    @cached_property
    def engine(self) -> Engine:
        """The container engine, started if need be."""
        return ensure_engine()

    @cached_property
    def registry(self) -> Registry:
        """The registry that all nodes know as a mirror."""
        return ensure_registry(self.engine)

    async def kubectl(self) -> Path:
        """kubectl of the node image, for its kustomize."""
        return await asyncio.to_thread(
            lambda: go_programs.kubectl(self.engine, node_image(self.engine))
        )

    async def own_images(self) -> Mapping[str, str]:
        """The harness's own images, as the nodes pull them."""
        return {"agent": await asyncio.to_thread(lambda: self._agent)}

    async def subject_images(
        self, subject: SubjectFile, objects: Sequence[Object], *, more: Sequence[str] = ()
    ) -> Mapping[str, str]:
        """Image names of the manifests, and those in `more`, to references by digest.

        Images under [build] are built, those that the engine has are published. Raises
        ManifestError for images that are neither.
        """
        wanted = _wanted(objects, more)
        await asyncio.to_thread(self._require, subject, wanted)
        return await asyncio.to_thread(self._publish_all, subject, wanted)

    async def require_images(
        self, subject: SubjectFile, objects: Sequence[Object], *, more: Sequence[str] = ()
    ) -> None:
        """Raise ManifestError for images that cannot be had; builds and publishes nothing."""
        await asyncio.to_thread(self._require, subject, _wanted(objects, more))

    def built(self, subject: SubjectFile, name: str) -> publish.ImageRef:
        """The image that the subject's `[build]` table describes under `name`, in the registry."""
        build = subject.build[name]
        local = publish.build_image(
            self.engine,
            publish.repository(name),
            build.context,
            dockerfile=build.context / build.dockerfile,
            build_args=build.args,
        )
        return publish.push_image(self.engine, self.registry, local)

    @cached_property
    def _agent(self) -> str:
        context = paths.build() / "agent"
        source = Path(__file__).resolve().parent.parent / "faults" / "agent"
        program = go_programs.toxiproxy() / "toxiproxy-server"
        # Trials that begin at once would take the folder away from under each other's builds.
        with FileLock(paths.build() / "agent.lock"):
            # What an older version left there would be part of the image.
            shutil.rmtree(context, ignore_errors=True)
            shutil.copytree(source, context, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy2(program, context)
            local = publish.build_image(self.engine, "agent", context)
        return str(publish.push_image(self.engine, self.registry, local))

    def _publish_all(
        self, subject: SubjectFile, wanted: Mapping[str, Sequence[str]]
    ) -> Mapping[str, str]:
        return {name: self._publish(subject, name) for name in wanted}

    def _publish(self, subject: SubjectFile, name: str) -> str:
        known = (subject.directory, name)
        if known not in self._published:
            self._published[known] = str(
                self.built(subject, name)
                if name in subject.build
                else publish.publish_local_image(self.engine, self.registry, name)
            )
        return self._published[known]

    def _require(self, subject: SubjectFile, wanted: Mapping[str, Sequence[str]]) -> None:
        missing = [
            name
            for name in wanted
            if name not in subject.build and not self.engine.succeeds("image", "inspect", name)
        ]
        if missing:
            first = missing[0]
            named = "; ".join(f"{name} ({', '.join(wanted[name])})" for name in missing)
            raise ManifestError(
                f"neither built by {subject.directory.name}/harness.toml nor known to the "
                f"container engine: {named}",
                remedy=f"build or pull it (`docker pull {first}`), or add "
                f'[build."{first}"] with its context to harness.toml',
            )


def _wanted(objects: Sequence[Object], more: Sequence[str]) -> dict[str, Sequence[str]]:
    """Every image and the places that run it."""
    return dict.fromkeys(more, ("a fault",)) | dict(images_of(objects))
