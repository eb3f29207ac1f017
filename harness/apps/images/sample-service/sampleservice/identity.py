"""What this process is allowed to be: read from /proc and the token mount, for security checks."""

from __future__ import annotations

import os
import socket
from pathlib import Path

STATUS = Path("/proc/self/status")
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

_FIELDS = ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "VmRSS")


def status_fields(text: str) -> dict[str, str]:
    """The fields of a /proc/PID/status text that are reported, as the kernel writes them."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key: value.strip() for key, value in pairs if key in _FIELDS}


def report(build_id: str) -> dict[str, object]:
    """uid, gid, groups, capabilities, NoNewPrivs, Seccomp, token, interfaces, build, memory."""
    return {
        "build_id": build_id,
        "pid": os.getpid(),
        "hostname": socket.gethostname(),
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "groups": sorted(os.getgroups()),
        "token": TOKEN.exists(),
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        **status_fields(STATUS.read_text()),
    }
