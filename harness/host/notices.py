"""Notices of living processes: small JSON files in a folder, each locked for as long as it is true.

Whoever reads them takes away what the dead left.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.host.locks import FileLock


@contextmanager
def posted(folder: Path, notice: Mapping[str, Any]) -> Iterator[None]:
    """Others can read the notice while the body runs."""
    lock = None
    while lock is None:
        # One who reads the notices may lock a file in the instant before we do, and remove it.
        lock = FileLock.try_lock(folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json")
    try:
        os.write(lock.descriptor, json.dumps(notice).encode())
        yield
    finally:
        lock.path.unlink(missing_ok=True)
        lock.release()


def only_ours(folder: Path) -> bool:
    """True if nobody but this process has a notice there."""
    return all(file.name.startswith(f"{os.getpid()}-") for file in folder.glob("*.json"))


def living(folder: Path) -> list[dict[str, Any]]:
    """The notices that are true at this moment."""
    found = []
    for file in sorted(folder.glob("*.json")):
        lock = FileLock.try_lock(file)
        if lock is not None:
            file.unlink(missing_ok=True)
            lock.release()
            continue
        text = file.read_text() if file.exists() else ""
        if text:
            found.append(json.loads(text))
    return found
