"""What a private container engine leaves when it is killed, and the next one must not meet.

Its pid file and socket, the processes of its containers, and their interfaces on its bridges.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import time
from pathlib import Path

from harness import paths
from harness.errors import HostError

_ORPHANS_S = 20.0
_INTERFACES = Path("/sys/class/net")
# Take an interface off a bridge (linux/sockios.h): what `ip link set X nomaster` does, without it.
_SIOCBRDELIF = 0x89A3


def alive() -> int | None:
    """Pid of this state folder's dockerd, None when the pid file is stale or missing."""
    file = paths.engine() / "docker.pid"
    if not file.exists():
        return None
    text = file.read_text().strip()
    if not text.isdigit():
        return None
    pid = int(text)
    # After a restart of the machine the number may belong to anybody: only the command line tells.
    return pid if _runs_from(pid, paths.engine()) else None


def _runs_from(pid: int, folder: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" and str(folder).encode() in words


def clear_remains() -> None:
    """Remove what a dead engine left, or the new one waits for processes that are no more."""
    base = paths.engine()
    if alive() is not None:
        return
    (base / "docker.pid").unlink(missing_ok=True)
    (base / "docker.sock").unlink(missing_ok=True)
    _end_orphans(base / "data/containers")
    _empty_bridges(base / "data/network/files/local-kv.db")
    if not any(_runs_from(pid, base / "exec") for pid in _pids()):
        shutil.rmtree(base / "exec", ignore_errors=True)


def _end_orphans(containers: Path) -> None:
    """End what containers of a killed engine left running, `containers` being its records of them.

    The next engine counts them as dead and gives their addresses away, while they still answer.
    """
    ids = [path.name for path in containers.iterdir()] if containers.is_dir() else []
    deadline = time.monotonic() + _ORPHANS_S
    while orphans := [pid for pid in _pids() if any(each in _cgroups(pid) for each in ids)]:
        if time.monotonic() > deadline:
            raise HostError(
                f"processes of a killed container engine do not end: {orphans}",
                remedy="end them by hand, or restart the machine",
            )
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def _empty_bridges(networks: Path) -> None:
    """Take off the dead engine's bridges what is still on them, `networks` being its records.

    A container's network outlives its processes for as long as the kernel waits for a peer of one
    of its connections: minutes, in which it answers for an address, down to the MAC, that the next
    engine gives to another container.
    """
    known = networks.read_bytes() if networks.exists() else b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for bridge in _INTERFACES.glob("br-*"):
            if bridge.name.removeprefix("br-").encode() not in known:
                continue
            for interface in (bridge / "brif").iterdir():
                # One that is gone by itself meanwhile was what this is for.
                with contextlib.suppress(OSError):
                    index = socket.if_nametoindex(interface.name)
                    request = struct.pack("16si20x", bridge.name.encode(), index)
                    fcntl.ioctl(control, _SIOCBRDELIF, request)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _cgroups(pid: int) -> str:
    """The control groups of a process, by which its container is known; empty once it is gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "" if state == "Z" else Path(f"/proc/{pid}/cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
