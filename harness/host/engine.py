"""The container engine: the one that runs, else a private one of ours.

A private engine is unpacked from Debian packages under the state folder and started with its own
data, sockets and pid file; nothing of the machine's Docker or apt settings is read or written by
it. Images, clusters and registries are not this module's business.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from harness import paths
from harness.errors import HostError
from harness.host import apt, remains
from harness.host.commands import NOT_THERE, CommandError, aoutput, output
from harness.host.files import private_folder, write_json
from harness.host.progress import Step, step, tail

# Debian 12's docker.io (20.10) cannot start privileged containers without CAP_SYS_RESOURCE;
# Debian 13's runs on Debian 12's libc. runc and tini must stay Debian 12's: 13's want a newer libc.
_FROM_TRIXIE = ("docker.io", "docker-cli", "docker-buildx", "containerd")
_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "iptables")
_START_SECONDS = 60.0
# A unix socket's path holds 107 characters; containerd's debug socket has the longest name.
_SOCKET_LIMIT = 107
# Two engines of ours on one machine would rewrite each other's firewall chains, so the one that
# runs is announced here, whichever state folder it belongs to.
_ANNOUNCEMENT = Path("/run/resilience-harness-engine.json")

INSTALL_REMEDY = (
    "install and start Docker (Debian 13, Ubuntu: `apt-get install docker.io docker-buildx`; "
    "elsewhere: the engine's own installation page), or run as root on Debian/Ubuntu and the "
    "harness sets up a private engine, or point DOCKER_HOST at an engine that runs"
)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A container engine that answers.

    `env` is the complete environment for subprocesses (`docker`, `kind`): the caller's own plus
    `DOCKER_HOST` and `PATH` where the engine is private. `kind` tells whose engine it is.
    """

    kind: Literal["running", "private"]
    env: Mapping[str, str]

    def docker(
        self,
        *words: str | Path,
        stdin: str | None = None,
        timeout: float | None = 120,
        check: bool = True,
    ) -> str:
        """Output of one `docker` command; raises `CommandError` if it fails and `check` is set."""
        return output(["docker", *words], env=self.env, stdin=stdin, timeout=timeout, check=check)

    async def adocker(
        self,
        *words: str | Path,
        stdin: str | None = None,
        timeout: float | None = 120,
        check: bool = True,
    ) -> str:
        """`docker` for coroutines."""
        return await aoutput(
            ["docker", *words], env=self.env, stdin=stdin, timeout=timeout, check=check
        )

    def succeeds(self, *words: str | Path) -> bool:
        """True when the command leaves with code 0: `engine.succeeds("image", "inspect", x)`."""
        try:
            self.docker(*words)
        except CommandError as error:
            if error.code == NOT_THERE:
                raise
            return False
        return True

    def info(self) -> dict[str, Any]:
        """`docker info` as a mapping (`ServerVersion`, `CgroupVersion`, `MemTotal` bytes, ...)."""
        found: dict[str, Any] = json.loads(self.docker("info", "--format", "{{json .}}"))
        return found


def find_engine() -> Engine | None:
    """The engine that can be used right now, without starting or installing anything."""
    running = Engine(kind="running", env=dict(os.environ))
    if shutil.which("docker") and _answers(running):
        return running
    for candidate in (_private(), _announced()):
        if candidate is not None and _answers(candidate):
            return candidate
    return None


def ensure_engine() -> Engine:
    """The engine that runs; else ours, started, and installed before that if need be.

    Safe to call from several processes at once. Raises `HostError` with what to install when this
    machine has no engine and none can be set up.
    """
    private_folder(paths.home())
    found = find_engine()
    if found is not None:
        return _with_buildx(found)
    paths.engine().mkdir(parents=True, exist_ok=True)
    with FileLock(paths.engine() / "lock"):
        found = find_engine()
        if found is not None:
            return _with_buildx(found)
        if _private() is None:
            _install()
        private = _private()
        if private is None:
            raise AssertionError("an installed engine must be found")
        with step("container engine: start", log=paths.engine() / "start.log") as started:
            _start(private, started)
        return private


def stop_engine() -> bool:
    """Stop the private engine of this state folder; False when none ran."""
    pid = remains.alive()
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _START_SECONDS
    while remains.alive() is not None:
        if time.monotonic() > deadline:
            raise HostError(
                f"the private engine (pid {pid}) does not stop",
                remedy=f"read {_log()}; `kill -9 {pid}` as a last resort",
            )
        time.sleep(0.1)
    _ANNOUNCEMENT.unlink(missing_ok=True)
    return True


def _answers(engine: Engine) -> bool:
    try:
        # The client exits with 0 even when no server answers, hence the look at the version.
        return bool(engine.docker("info", "--format", "{{.ServerVersion}}", timeout=20))
    except CommandError:
        return False


def _with_buildx(engine: Engine) -> Engine:
    if engine.succeeds("buildx", "version"):
        return engine
    raise HostError(
        "the container engine runs, but its client has no buildx, which builds the images",
        remedy="install it (Debian 13, Ubuntu: `apt-get install docker-buildx`)",
    )


def _root() -> Path:
    return paths.engine() / "root"


def _log() -> Path:
    return paths.engine() / "dockerd.log"


def _private(home: Path | None = None) -> Engine | None:
    """Our engine's environment if it has been unpacked; says nothing about whether it runs."""
    base = home or paths.engine()
    if not (base / "installed").exists():
        return None
    root = base / "root"
    # Ours before the machine's: a bare client of another version may stand in its PATH.
    path = [base / "bin", root / "usr/sbin", root / "usr/bin", root / "sbin", root / "bin"]
    return Engine(
        kind="private",
        env={
            **os.environ,
            "PATH": ":".join(
                [*map(str, path), os.environ.get("PATH", "/usr/bin:/bin"), "/usr/sbin"]
            ),
            "DOCKER_HOST": f"unix://{base / 'docker.sock'}",
            "DOCKER_CONFIG": str(base / "config"),
        },
    )


def _announced() -> Engine | None:
    if not _ANNOUNCEMENT.exists():
        return None
    home = Path(json.loads(_ANNOUNCEMENT.read_text())["engine"])
    return _private(home)


def _install() -> None:
    if os.geteuid() != 0 or not apt.is_debian():
        raise HostError("no container engine answers on this machine", remedy=INSTALL_REMEDY)
    base = paths.engine()
    sources = apt.host_sources()
    preferences = ""
    if apt.os_release().get("VERSION_CODENAME") == "bookworm":
        sources.append(apt.of_suite(sources, "trixie"))
        preferences = (
            f"Package: {' '.join(_FROM_TRIXIE)}\nPin: release n=trixie\nPin-Priority: 600\n\n"
            "Package: *\nPin: release n=trixie\nPin-Priority: 50\n"
        )
    with step("container engine: packages", log=base / "install.log") as running:
        private = apt.PrivateApt(base / "apt", sources=sources, preferences=preferences)
        private.update(running)
        # Ubuntu's docker.io carries the client itself.
        private.unpack([name for name in _PACKAGES if private.has(name)], _root(), running)
        _link_tools(base)
        (base / "installed").touch()


def _link_tools(base: Path) -> None:
    """Give the unpacked programs what package scripts would: alternatives, libraries, plugins."""
    root, tools = base / "root", base / "bin"
    tools.mkdir(exist_ok=True)
    multi = next(
        (root / d for d in ("usr/sbin", "sbin") if (root / d / "xtables-nft-multi").exists()), None
    )
    if multi is not None:
        libraries = [path for path in root.glob("usr/lib/*-linux-gnu") if path.is_dir()]
        search = ":".join(map(str, libraries))
        xtables = next(path / "xtables" for path in libraries if (path / "xtables").is_dir())
        for name in (
            "iptables",
            "iptables-save",
            "iptables-restore",
            "ip6tables",
            "ip6tables-save",
            "ip6tables-restore",
        ):
            wrapper = tools / name
            wrapper.write_text(
                "#!/bin/sh\n"
                f'export LD_LIBRARY_PATH="{search}" XTABLES_LIBDIR="{xtables}"\n'
                f'exec "{multi}/xtables-nft-multi" {name} "$@"\n'
            )
            wrapper.chmod(0o755)
    plugins = [path.parent for path in root.glob("usr/lib*/docker/cli-plugins/docker-buildx")]
    (base / "config").mkdir(exist_ok=True)
    write_json(
        base / "config/config.json", {"cliPluginsExtraDirs": [str(path) for path in plugins]}
    )


def _start(engine: Engine, running: Step) -> None:
    base = paths.engine()
    longest = base / "exec/containerd/containerd-debug.sock"
    if len(str(longest)) > _SOCKET_LIMIT:
        raise HostError(
            f"the state folder's path is too long for the engine's sockets: {longest}",
            remedy="set HARNESS_HOME to a shorter path",
        )
    if remains.alive() is None:
        remains.clear_remains()
        words = [
            "dockerd",
            f"--host=unix://{base / 'docker.sock'}",
            f"--data-root={base / 'data'}",
            f"--exec-root={base / 'exec'}",
            f"--pidfile={base / 'docker.pid'}",
            "--log-opt=max-size=20m",
        ]
        with _log().open("ab") as log:
            process = subprocess.Popen(
                words,
                env=dict(engine.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
    else:
        process = None
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(engine):
        dead = process is not None and process.poll() is not None
        if dead or time.monotonic() > deadline:
            raise HostError(
                f"the private engine {'ended' if dead else 'does not answer'}; "
                f"the end of {_log()}:\n{tail(_log())}",
                remedy=f"mend what the log names, or {INSTALL_REMEDY}",
            )
        time.sleep(0.1)
    write_json(_ANNOUNCEMENT, {"engine": str(base)})
    running.note = f"docker {engine.info()['ServerVersion']}, log {_log()}"
