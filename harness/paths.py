"""Where the harness keeps what outlives a process, and where its own data files are.

Everything on disk is below one folder, `$HARNESS_HOME` (default: `resilience-harness` in the
user's cache folder), so that moving that folder away gives a fresh machine.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def home() -> Path:
    """The state folder; read from the environment at each call, so tests can point it elsewhere."""
    override = os.environ.get("HARNESS_HOME")
    if override:
        return Path(override).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME")
    base = Path(cache) if cache else Path.home() / ".cache"
    return base / "resilience-harness"


def engine() -> Path:
    """Private container engine: unpacked packages, data, socket, log."""
    return home() / "engine"


def binaries() -> Path:
    """Built or unpacked programs, one folder per content key."""
    return home() / "bin"


def build() -> Path:
    """Scratch space of image and program builds."""
    return home() / "build"


def clusters() -> Path:
    """One folder per cluster: kubeconfig, rendered kind config, leases, identity."""
    return home() / "clusters"


def ledgers() -> Path:
    """Undo records, one file per process."""
    return home() / "ledger"


def data(name: str) -> Path:
    """A shipped folder (`scenarios`, `kind-configs`): in a wheel inside the package."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def apps() -> Path:
    """The sample subjects."""
    return _PACKAGE / "apps"
