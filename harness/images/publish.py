"""Images: built from a folder, pushed to the local registry, named by digest.

A build's tag is the hash of everything that goes into it, so unchanged folders are not built or
pushed again. Which images a subject wants is not decided here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from harness import paths
from harness.errors import HostError, UsageError
from harness.host import build_settings
from harness.host.engine import Engine
from harness.host.progress import step
from harness.images import tags
from harness.images.base_image import BASE_IMAGE, ensure_base
from harness.images.registry import PUSH_CONTAINER, REGISTRY, Registry

_LOCAL_PREFIX = "resilience-harness"
# What tools leave beside sources; also kept out of builds by the .dockerignore of each context.
_CACHES = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


@dataclass(frozen=True, kw_only=True)
class ImageRef:
    """An image in the local registry. `str()` is what a pod's `image` field takes."""

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{REGISTRY}/{self.name}@{self.digest}"


def build_image(
    engine: Engine,
    name: str,
    context: Path,
    *,
    dockerfile: Path | None = None,
    build_args: Mapping[str, str] | None = None,
) -> str:
    """Local tag of the image built from `context`; builds only when an input has changed.

    Inputs are the context's files with their modes, the Dockerfile, the arguments and the
    identities of its base images. The build may use this machine's package mirrors through the
    secrets that `build_settings.build_words` lists. Raises `HostError` with the end of the log.
    """
    file = dockerfile or context / "Dockerfile"
    arguments = dict(build_args or {})
    bases = base_names(file.read_text(), arguments)
    if BASE_IMAGE in bases:
        ensure_base(engine)
    identities = [_identity(engine, base) for base in bases]
    tag = f"{_LOCAL_PREFIX}/{name}:{_key(context, file, arguments, identities)}"
    if tags.built(engine, tag):
        return tag
    paths.build().mkdir(parents=True, exist_ok=True)
    safe = name.replace("/", "-")
    with FileLock(paths.build() / f"image-{safe}.lock"):
        if tags.built(engine, tag):
            return tag
        with step(f"image {name}", log=paths.build() / "logs" / f"image-{safe}.log") as running:
            words: list[str | Path] = ["docker", "build", "--progress=plain"]
            words += ["--provenance=false", *tags.words(tag), f"--file={file}"]
            words += build_settings.build_words(paths.build() / "host")
            for key, value in arguments.items():
                words += ["--build-arg", f"{key}={value}"]
            running.run([*words, context], env={**engine.env, "DOCKER_BUILDKIT": "1"})
            running.note = tag
    return tag


def push_image(engine: Engine, registry: Registry, local: str) -> ImageRef:
    """Put a local image into the registry; does nothing when its content is already there.

    What stands behind a tag there is known by its content, so the reference is of this very image.
    """
    identity = _identity(engine, local)
    if not identity:
        raise UsageError(
            f"the container engine has no image {local!r}",
            remedy=f"build or load it first (`docker image inspect {local}` must find it)",
        )
    name = repository(local)
    tag = identity.removeprefix("sha256:")[:24]
    digest = registry.digest_of(name, tag, identity)
    if digest is None:
        remote = f"{registry.push_host}/{name}:{tag}"
        engine.docker("tag", local, remote)
        try:
            engine.docker("push", "--quiet", remote, timeout=900)
        finally:
            engine.docker("rmi", remote, check=False)
        digest = registry.digest_of(name, tag, identity)
    if digest is None:
        raise HostError(
            f"the local registry does not give {name}:{tag} as it was pushed",
            remedy=f"look at `docker logs {PUSH_CONTAINER}`",
        )
    return ImageRef(name=name, digest=digest)


def publish_local_image(engine: Engine, registry: Registry, name: str) -> ImageRef:
    """An image of the user's own engine (`shop/checkout:1.4`), in the registry.

    Raises `UsageError` when the engine does not have it: nothing is pulled from anywhere.
    """
    try:
        return push_image(engine, registry, name)
    except UsageError as error:
        raise UsageError(
            f"`images` names {name!r}, which the container engine does not have",
            remedy=f"build it, or `docker pull {name}`, then run the same command again",
        ) from error


def repository(image: str) -> str:
    """The registry's path for a local image name: no tag, no digest, no prefix of ours."""
    name = image.partition("@")[0]
    head, separator, last = name.rpartition("/")
    name = f"{head}{separator}{last.partition(':')[0]}".removeprefix(f"{_LOCAL_PREFIX}/")
    # A registry's port is no legal part of a path.
    return name.lower().replace(":", "-")


def base_names(dockerfile: str, arguments: Mapping[str, str]) -> list[str]:
    """The images that a Dockerfile starts from, its own stages and `scratch` left out."""
    known = dict(arguments)
    stages: set[str] = {"scratch"}
    found: list[str] = []
    for line in re.sub(r"\\\n", " ", dockerfile).splitlines():
        words = line.split()
        keyword = words[0].upper() if words else ""
        if keyword == "ARG" and "=" in line:
            key, _, value = words[1].partition("=")
            known.setdefault(key, value.strip("\"'"))
        elif keyword == "FROM":
            parts = [word for word in words[1:] if not word.startswith("--")]
            base = re.sub(r"\$\{?(\w+)\}?", lambda m: known.get(m.group(1), ""), parts[0])
            if base.lower() not in stages and base not in found:
                found.append(base)
            if len(parts) == 3:
                stages.add(parts[2].lower())
    return found


def _identity(engine: Engine, image: str) -> str:
    """What the engine knows an image by; empty when it has none of that name."""
    return engine.docker("image", "inspect", "--format", "{{.Id}}", image, check=False)


def _key(context: Path, dockerfile: Path, arguments: Mapping[str, str], bases: list[str]) -> str:
    digest = hashlib.sha256(dockerfile.read_bytes())
    for text in [*(f"{key}={value}" for key, value in sorted(arguments.items())), *bases]:
        digest.update(text.encode() + b"\0")
    for path in sorted(context.rglob("*")):
        if path.is_dir() or _CACHES & set(path.parts):
            continue
        executable = os.access(path, os.X_OK)
        digest.update(f"{path.relative_to(context)} {executable}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
