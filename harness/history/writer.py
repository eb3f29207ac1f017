"""Writes a history: one line a record, appended to the file and to the index in memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, Any

import orjson

from harness.errors import HostError
from harness.history.facts import Json
from harness.history.history import History
from harness.history.records import HISTORY_FILE


class Writer:
    """Appends records to a history file; each is on its way to disk before `append` returns.

    The first record that cannot be written (full disk) raises HostError, so that the trial ends.
    Later ones go to the mirror only and raise nothing: healing must not fail because it cannot be
    written down.
    """

    def __init__(self, folder: Path, mirror: History | None = None) -> None:
        self.path = folder / HISTORY_FILE
        self._file: IO[bytes] = self.path.open("ab", buffering=0)
        self._mirror = mirror
        self._full = False

    def append(self, type_: str, *, t: int | None = None, **data: Any) -> Json:
        """Write one record; `t` is the monotonic time of the observation (default: now)."""
        record: Json = {
            "t": time.monotonic_ns() if t is None else t,
            "wall": time.time(),
            "type": type_,
            **data,
        }
        line = orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
        if self._mirror is not None:
            self._mirror.add(record)
        if not self._full:
            try:
                # One unbuffered write of one line: a reader sees whole lines or a torn last one.
                self._file.write(line)
            except OSError as error:
                self._full = True
                raise HostError(
                    f"the history {self.path} cannot be written: {error}",
                    remedy="free disk space, or choose another disk with --output",
                ) from error
        return record

    def close(self) -> None:
        """Close; what was written is on its way to disk already."""
        self._file.close()
