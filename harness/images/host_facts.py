"""Facts about this machine: engine, kernel, memory, disk. What follows from them is said elsewhere
(`harness.commands.host_checks`, each fault's `host_support`).

Kernel features are asked by doing the thing (`probe.sh`) in a throwaway network namespace: in a
container of the node image where that is there already, because its tools and its kernel are the
ones that faults will meet, else on the host with whatever tools it has. A kernel with modules may
load one by being asked; nothing else of the host changes.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from harness import paths
from harness.host import processes
from harness.host.commands import CommandError
from harness.host.engine import Engine, find_engine
from harness.images.node_image import KIND_DEFAULT, NodeImageChoice, describe_choice

# What `probe.sh` asks, and what it is good for.
FEATURES: Mapping[str, str] = {
    "netem": "packet delay, loss and reordering by `tc`",
    "tbf": "bandwidth limits by `tc`",
    "htb": "bandwidth limits per class by `tc`",
    "nftables": "partitions, dropped and rejected connections",
    "nfqueue": "packets held by a program",
    "ipset": "large sets of addresses in a policy",
    "syscall-delay": "slow disk writes of one process (strace)",
    "fuse": "slow or failing file systems",
    "device-mapper": "slow or failing block devices",
    "loop-devices": "block devices of the harness's own",
    "modules": "further kernel features loaded on demand",
    "pressure": "pressure stall information",
    "kernel-log": "the kernel's own words on an OOM kill",
    "io-throttle": "disk throughput limits by cgroup",
    "freezer": "paused nodes",
}

_REGISTRY_SECONDS = 10.0

Answer = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One kernel feature: is it there, and if not (or not known) why."""

    answer: Answer
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """This machine as faults and set-up see it. Sizes in bytes.

    `engine` and `cgroup_version` are the container engine's (which may live in a virtual machine);
    None and the host's own when no engine answers. `registry_answers`: the engine can get an image
    from the registry of kind's node image; None without an engine. `disk_free_bytes` is what the
    state folder has.
    """

    system: str
    cpus: int
    memory_bytes: int
    memory_free_bytes: int
    disk_free_bytes: int
    root: bool
    cgroup_version: int
    engine: str | None
    node_image: NodeImageChoice | None
    registry_answers: bool | None
    probes: Mapping[str, Feature]

    @property
    def features(self) -> frozenset[str]:
        """Features that were seen working."""
        return frozenset(name for name, probe in self.probes.items() if probe.answer == "yes")

    @property
    def unknown(self) -> frozenset[str]:
        """Features that could not be asked: no tools, no rights, no answer."""
        return frozenset(FEATURES) - {
            name for name, probe in self.probes.items() if probe.answer != "unknown"
        }

    def why_not(self, feature: str) -> str:
        """The reason why a feature is not in `features`; empty if it is."""
        probe = self.probes.get(feature, Feature(answer="unknown", why="it was not asked"))
        return "" if probe.answer == "yes" else probe.why or "it is missing"


async def host_facts() -> HostFacts:
    """Look at the machine; starts and installs nothing. Takes about a second."""
    engine = await asyncio.to_thread(find_engine)
    info = await asyncio.to_thread(engine.info) if engine else {}
    choice = await asyncio.to_thread(describe_choice, engine) if engine else None
    memory = psutil.virtual_memory()
    registry = await asyncio.to_thread(_registry_answers, engine) if engine else None
    return HostFacts(
        system=_system(),
        cpus=int(info.get("NCPU") or os.cpu_count() or 1),
        memory_bytes=int(info.get("MemTotal") or memory.total),
        memory_free_bytes=memory.available,
        disk_free_bytes=shutil.disk_usage(_existing(paths.home())).free,
        root=os.geteuid() == 0,
        cgroup_version=int(info.get("CgroupVersion") or _cgroup_version()),
        engine=f"Docker {info['ServerVersion']} ({engine.kind})" if engine else None,
        node_image=choice,
        registry_answers=registry,
        probes=await _probe(engine, choice),
    )


async def _probe(engine: Engine | None, choice: NodeImageChoice | None) -> dict[str, Feature]:
    script = (Path(__file__).parent / "probe.sh").read_bytes()
    if engine is not None and choice is not None and choice.present:
        sandbox = ["docker", "run", "--rm", "--interactive", "--privileged", "--network=none"]
        words = [*sandbox, "--entrypoint=sh", choice.image, "-s"]
        environment = dict(engine.env)
    else:
        sandbox = (
            ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
        )
        words = [*sandbox, "sh", "-s"]
        environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = await processes.run(words, env=environment, stdin=script, timeout=60)
    except CommandError as error:
        return _all_unknown(error.message)
    if done.code != 0:
        return _all_unknown(f"`{' '.join(words)}`: {done.error}")
    return parse(done.text)


def _registry_answers(engine: Engine) -> bool:
    try:
        engine.docker("manifest", "inspect", KIND_DEFAULT, timeout=_REGISTRY_SECONDS)
    except CommandError:
        return False
    return True


def _all_unknown(why: str) -> dict[str, Feature]:
    return {name: Feature(answer="unknown", why=why) for name in FEATURES}


def parse(text: str) -> dict[str, Feature]:
    """The lines of `probe.sh` as features."""
    known: dict[str, Answer] = {"yes": "yes", "no": "no"}
    rows = ((line + "\t\t").split("\t")[:3] for line in text.splitlines())
    return {
        name: Feature(answer=known.get(answer, "unknown"), why=why) for name, answer, why in rows
    }


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform()


def _cgroup_version() -> int:
    return 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1


def _existing(path: Path) -> Path:
    """The path itself or its nearest ancestor that is there."""
    return next(each for each in (path, *path.parents) if each.exists())
