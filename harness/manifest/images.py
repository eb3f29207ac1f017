"""Which images a set of objects runs, and writing other references (digests) in their place.

Pushing images and finding out their digests is in `harness.cluster`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import ManifestError
from harness.manifest.objects import Object, containers, name_of, pod_spec

_NAME = re.compile(
    r"(?:(?P<registry>[^/]*[.:][^/]*|localhost)/)?"
    r"(?P<repository>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class ImageName:
    """An image reference with Docker's defaults filled in; `str` is the fully qualified form."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """`nginx` is `docker.io/library/nginx:latest`; `ManifestError` for what is no reference."""
        match = _NAME.fullmatch(text)
        if match is None:
            raise ManifestError(
                f'"{text}" is no image reference',
                remedy="write [registry/]name[:tag][@sha256:...] in lower case, shop/checkout:1.4",
            )
        registry = match["registry"] or "docker.io"
        repository = match["repository"]
        if registry in {"docker.io", "index.docker.io"}:
            registry = "docker.io"
            repository = repository if "/" in repository else f"library/{repository}"
        tag = match["tag"] or (None if match["digest"] else "latest")
        return cls(registry, repository, tag, match["digest"])

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def images(objects: Iterable[Object]) -> dict[str, tuple[str, ...]]:
    """Every image as written, and the places that run it: `Deployment/checkout-api[api]`."""
    found: dict[str, list[str]] = {}
    for obj in objects:
        for image, place in _uses(obj):
            found.setdefault(image, []).append(place)
    return {image: tuple(places) for image, places in found.items()}


def _uses(obj: Object) -> Iterator[tuple[str, str]]:
    what = f"{obj['kind']}/{name_of(obj)}"
    for container in containers(obj):
        if container.get("image"):
            yield container["image"], f"{what}[{container.get('name')}]"
    for volume in (pod_spec(obj) or {}).get("volumes") or []:
        if reference := (volume.get("image") or {}).get("reference"):
            yield reference, f"{what} volume {volume.get('name')}"


def rewrite(objects: Sequence[Object], mapping: Mapping[str, str]) -> list[Object]:
    """The objects with each image in `mapping` replaced; keys mean the same image however written.

    `{"docker.io/library/nginx:latest": ...}` replaces `nginx`, too. Other images stay.
    """
    wanted = {str(ImageName.parse(old)): new for old, new in mapping.items()}
    result = copy.deepcopy(list(objects))
    for obj in result:
        for container in containers(obj):
            if container.get("image"):
                container["image"] = _replaced(container["image"], wanted)
        for volume in (pod_spec(obj) or {}).get("volumes") or []:
            if (volume.get("image") or {}).get("reference"):
                volume["image"]["reference"] = _replaced(volume["image"]["reference"], wanted)
    return result


def _replaced(image: str, wanted: Mapping[str, str]) -> str:
    return wanted.get(str(ImageName.parse(image)), image)
