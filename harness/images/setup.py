"""All set-up in one call: engine, kind, node image, registry, sample images.

Only the order and what runs beside what is decided here; each piece finds by itself whether it is
there already. `python -m harness.images.setup --clean` takes everything away again.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.errors import HarnessError
from harness.host import go_programs
from harness.host.commands import output
from harness.host.engine import Engine, ensure_engine, find_engine, stop_engine
from harness.host.progress import reporter, step
from harness.images import registry as registries
from harness.images.node_image import node_image
from harness.images.registry import Registry
from harness.images.supply import Supply
from harness.manifest.subject_reading import load_subject

_CLUSTER_LABEL = "io.x-k8s.kind.cluster"


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Everything that a cluster and the samples need. `images` maps an image's name in the
    manifests to its place in the registry."""

    engine: Engine
    kind: Path
    kubectl: Path
    node_image: str
    registry: Registry
    images: Mapping[str, str]


def set_up() -> Ready:
    """Do all set-up with a line per step; seconds when it has been done before.

    Raises `HarnessError` (mostly `HostError`) that says what to do about it.
    """
    engine = ensure_engine()
    with step("container engine") as running:
        version = engine.docker("version", "--format", "{{.Server.Version}}")
        running.note = f"{version}, {'ours' if engine.kind == 'private' else 'the one that runs'}"
    # One side waits for compilers, the other for downloads.
    with ThreadPoolExecutor(max_workers=2) as pool:
        samples = pool.submit(_registry_and_samples)
        kind = go_programs.kind()
        image = node_image(engine)
        kubectl = go_programs.kubectl(engine, image)
        registry, images = samples.result()
    reporter().say(f"  ready  node image {image}, registry {registry.push_host}")
    return Ready(
        engine=engine,
        kind=kind,
        kubectl=kubectl,
        node_image=image,
        registry=registry,
        images=images,
    )


def sample_images(supply: Supply) -> dict[str, str]:
    """Every image of the sample subjects and the harness's own: name -> place in the registry."""
    found = dict(asyncio.run(supply.own_images()))
    for file in sorted(paths.apps().glob("*/harness.toml")):
        subject = load_subject(file.parent)
        found |= {name: str(supply.built(subject, name)) for name in subject.build}
    return found


def _registry_and_samples() -> tuple[Registry, dict[str, str]]:
    supply = Supply()
    return supply.registry, sample_images(supply)


def clean() -> None:
    """Take away what was made: containers, the private engine, the state folder."""
    engine = find_engine()
    if engine is not None:
        names = _our_containers(engine)
        with step("containers of the harness") as running:
            if names:
                engine.docker("rm", "--force", "--volumes", *names)
            engine.docker("volume", "rm", "--force", registries.VOLUME)
            running.note = ", ".join(names) or "none"
        with step("private engine") as running:
            running.note = "stopped" if stop_engine() else "none runs"
    with step(f"files in {paths.home()}"):
        # Mounts of a killed engine would make the removal reach into them.
        for line in Path("/proc/mounts").read_text().splitlines():
            target = line.split()[1]
            if target.startswith(f"{paths.engine()}/"):
                output(["umount", "--lazy", target], check=False)
        if paths.home().exists():
            shutil.rmtree(paths.home())


def _our_containers(engine: Engine) -> list[str]:
    folder = paths.clusters()
    clusters = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    rows = engine.docker(
        "ps", "--all", "--format", f'{{{{.Names}}}}\t{{{{.Label "{_CLUSTER_LABEL}"}}}}'
    )
    pairs = [line.partition("\t") for line in rows.splitlines()]
    ours = {name for name, _, cluster in pairs if cluster and cluster in clusters}
    registry = {registries.PULL_CONTAINER, registries.PUSH_CONTAINER}
    return sorted(ours | {name for name, _, _ in pairs if name in registry})


def main(words: list[str]) -> int:
    """The two things that make targets ask for; the command line proper is `harness.cli`."""
    try:
        if words == ["--clean"]:
            clean()
        elif words:
            reporter().say(f"unknown words: {words}; give --clean or nothing")
            return 2
        else:
            set_up()
    except HarnessError as error:
        reporter().say(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
