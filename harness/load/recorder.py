"""Writes the recording: one JSON line of columns for each flush, and what the generator was doing.

Runs inside the generator's process. `harness.history.requests` reads the file; the two share the
names of the columns. A write that the disk refuses ends the load with an error: requests that
nobody recorded would be counted as lost by the subject.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import orjson

from harness.history.requests import COLUMNS
from harness.host.files import write_all
from harness.redaction import redacted

Health = Callable[[], dict[str, int]]


class RecordingError(Exception):
    """The recording cannot be written; the message says why."""


class Recorder:
    """Columns in memory, flushed every `flush_s` seconds by a greenlet of its own.

    With `record` off it writes the header, one health line and the end: what a load costs without
    being recorded.
    """

    def __init__(self, path: Path, *, flush_s: float, record: bool = True) -> None:
        self.path = path
        self.record = record
        self.lag_max = 0
        self._flush_s = flush_s
        self._columns: tuple[list[int], ...] = tuple([] for _ in COLUMNS)
        self._endpoints: list[str] = []
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RecordingError(f"cannot write {path}: {error.strerror}") from error

    def head(self, header: dict[str, Any]) -> None:
        """The first line; written at once, so that a full disk is found before the load starts."""
        self._write({"header": header})

    def add(self, intended: int, start: int, end: int, endpoint: int, status: int) -> None:
        """One request that has ended (times in monotonic ns)."""
        lag = start - intended
        if lag > self.lag_max:
            self.lag_max = lag
        if self.record:
            columns = self._columns
            columns[0].append(intended)
            columns[1].append(start)
            columns[2].append(end)
            columns[3].append(endpoint)
            columns[4].append(status)

    def endpoint(self, name: str) -> None:
        """The next endpoint index now stands for `name` (loads that do not declare theirs)."""
        self._endpoints.append(redacted(name))

    def flush_forever(self, health: Health) -> None:
        """Flush until killed; raises RecordingError. A late flush delays no request."""
        gevent.sleep(self._flush_s)
        self.flush(health())
        while self.record:
            gevent.sleep(self._flush_s)
            self.flush(health())

    def flush(self, health: dict[str, int]) -> None:
        """Write what has come in since the last flush, then how the generator is doing."""
        columns = self._columns
        self._columns = tuple([] for _ in COLUMNS)
        named, self._endpoints = self._endpoints, []
        lag, self.lag_max = self.lag_max, 0
        lines: list[dict[str, Any]] = [{"endpoint": name} for name in named]
        if columns[0]:
            lines.append({"v": 1, **dict(zip(COLUMNS, columns, strict=True))})
        usage = int(time.process_time() * 1e9)
        lines.append({"health": {**health, "lag_max": lag, "cpu": usage}})
        self._write(*lines)

    def finish(self, end: dict[str, Any]) -> None:
        """The last line, synced to disk, and close."""
        self._write({"end": end})
        # A device or a pipe in place of a file cannot be synced, and has nothing to sync.
        if self.path.is_file():
            os.fsync(self._fd)
        os.close(self._fd)

    def _write(self, *lines: dict[str, Any]) -> None:
        data = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        # In a thread: a disk that stalls must not stop the clock that starts requests.
        error = gevent.get_hub().threadpool.apply(self._write_all, (data,))
        if error is not None:
            raise RecordingError(f"cannot write {self.path}: {error.strerror}") from error

    def _write_all(self, data: bytes) -> OSError | None:
        # Given back instead of raised: the pool would print it, into a log that may be as full.
        try:
            write_all(self._fd, data)
        except OSError as error:
            return error
        return None
