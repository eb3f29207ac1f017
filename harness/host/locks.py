"""Locks between processes: `flock` on a file.

The kernel drops them when their holder ends in any way, SIGKILL included: nothing is to be cleaned.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """One held `flock`. `try_lock` gives None when somebody else holds the file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def try_lock(cls, path: Path, *, exclusive: bool = True) -> FileLock | None:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, mode)
                # `harness down` removes the folder: a lock on a file that is no longer there, or
                # was made anew, excludes nobody.
                if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                    return cls(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
            os.close(descriptor)

    def release(self) -> None:
        os.close(self.descriptor)
