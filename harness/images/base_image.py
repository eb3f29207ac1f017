"""The Debian image that every image of ours starts from.

Where a registry answers it is `debian:bookworm-slim` itself. Where none does it is made from the
host's own Debian mirror with debootstrap and gets that name, so the same Dockerfiles work.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from filelock import FileLock

from harness import paths
from harness.errors import HostError
from harness.host import apt
from harness.host.commands import CommandError
from harness.host.engine import Engine
from harness.host.progress import Step, step

BASE_IMAGE = "debian:bookworm-slim"
_SUITE = "bookworm"
_PROBE_SECONDS = 20.0
_PULL_SECONDS = 1800.0
# What a container never reads; debootstrap has no option for it.
_DROP = (
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/lintian/*",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "var/log/*.log",
    "etc/apt/sources.list",
)
_NO_DOCS = "".join(f"path-exclude /usr/share/{name}/*\n" for name in ("doc", "man", "locale"))


def ensure_base(engine: Engine) -> str:
    """`BASE_IMAGE`, present in the engine: as it is, pulled, or made.

    Raises `HostError` when it can neither be pulled nor made (debootstrap wants root on Debian).
    """
    if engine.succeeds("image", "inspect", BASE_IMAGE):
        return BASE_IMAGE
    paths.build().mkdir(parents=True, exist_ok=True)
    with FileLock(paths.build() / "base-image.lock"):
        if engine.succeeds("image", "inspect", BASE_IMAGE):
            return BASE_IMAGE
        with step(f"base image {BASE_IMAGE}", log=paths.build() / "base-image.log") as running:
            if pull(engine, BASE_IMAGE):
                running.note = "pulled"
            else:
                _make(engine, running)
                running.note = "made with debootstrap: no registry answers"
    return BASE_IMAGE


def pull(engine: Engine, image: str) -> bool:
    """Pull `image`; False when no registry gives it. Asks first, so that silence costs seconds."""
    if not offered(engine, image):
        return False
    return _succeeds(engine, "pull", "--quiet", image, timeout=_PULL_SECONDS)


def offered(engine: Engine, image: str) -> bool:
    """True when a registry answers for `image`, or the engine has a mirror that may have it."""
    mirrors = (engine.info().get("RegistryConfig") or {}).get("Mirrors")
    if mirrors:
        # The question below goes to the registry itself, which a mirror's user may not reach.
        return True
    return _succeeds(engine, "manifest", "inspect", image, timeout=_PROBE_SECONDS)


def _succeeds(engine: Engine, *words: str, timeout: float) -> bool:
    try:
        engine.docker(*words, timeout=timeout)
    except CommandError:
        return False
    return True


def _make(engine: Engine, running: Step) -> None:
    if os.geteuid() != 0 or apt.os_release().get("ID") != "debian" or not apt.is_debian():
        raise HostError(
            f"no registry gives {BASE_IMAGE}, and it can be made only by root on Debian",
            remedy="give the engine an image of that name (docker load, or a registry mirror), or "
            "run as root on Debian",
        )
    folder = paths.build() / "debootstrap"
    sources = apt.host_sources()
    private = apt.PrivateApt(folder / "apt", sources=sources)
    private.update(running)
    private.unpack(["debootstrap"], folder / "root", running)
    mirror = apt.of_suite(sources, _SUITE)
    target = folder / "rootfs"
    shutil.rmtree(target, ignore_errors=True)
    root = folder / "root"
    words: list[str | Path] = ["debootstrap", "--variant=minbase"]
    if mirror.signed_by:
        words.append(f"--keyring={mirror.signed_by}")
    words += [f"--cache-dir={_cache(folder)}", _SUITE, target, mirror.uri]
    env = {
        **os.environ,
        "DEBOOTSTRAP_DIR": str(root / "usr/share/debootstrap"),
        "PATH": f"{root}/usr/sbin:{root}/usr/bin:{os.environ['PATH']}:/usr/sbin:/sbin",
    }
    running.run(words, env=env, remedy=f"read {target}/debootstrap/debootstrap.log")
    for pattern in _DROP:
        for path in target.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (target / "etc/dpkg/dpkg.cfg.d/no-docs").write_text(_NO_DOCS)
    archive = folder / "rootfs.tar"
    running.run(["tar", "--numeric-owner", "-C", target, "-cf", archive, "."])
    changes = [
        "--change",
        'CMD ["bash"]',
        "--change",
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]
    running.run(["docker", "import", *changes, archive, BASE_IMAGE], env=engine.env)
    archive.unlink()
    shutil.rmtree(target)


def _cache(folder: Path) -> Path:
    cache = folder / "packages"
    cache.mkdir(parents=True, exist_ok=True)
    return cache
