"""Writes a history: one line a record, appended to the file and to the index in memory."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import orjson

from harness.errors import HostError
from harness.history.differences import LatestObjects
from harness.history.facts import Json
from harness.history.history import History
from harness.history.run_files import HISTORY_FILE
from harness.host.files import write_all
from harness.redaction import redacted


class Writer:
    """Appends records to a history file; each is on its way to disk before `append` returns.

    No secret gets into it: this is the one way in, see `harness.redaction`.
    `mirror` gets what the file got and nothing else, so a trial is judged alike while it runs and
    from its folder. Appending never raises: healing must not fail because it cannot be written
    down. Whoever could end a trial waits for `failed`.
    """

    def __init__(self, folder: Path, mirror: History | None = None) -> None:
        self.path = folder / HISTORY_FILE
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        self._whole = os.fstat(self._descriptor).st_size
        self._mirror = mirror
        self._objects = LatestObjects()
        self._failure: OSError | None = None
        self._failed = asyncio.Event()

    def append(self, type_: str, *, t: int | None = None, **data: Any) -> Json:
        """Write one record; `t` is the monotonic time of the observation (default: now).

        After one that could not be written (full disk) there is a gap, and nothing but the problem
        that tells of it may stand behind a gap.
        """
        record: Json = {
            "t": time.monotonic_ns() if t is None else t,
            "wall": time.time(),
            "type": type_,
            **redacted(data),
        }
        if self._failure is None or type_ == "problem":
            self._write(record)
        return record

    async def failed(self) -> NoReturn:
        """Waits until a record could not be written, and raises HostError."""
        await self._failed.wait()
        raise HostError(
            f"the history {self.path} cannot be written: {self._failure}",
            remedy="free disk space, or choose another disk with --output",
        ) from self._failure

    def close(self) -> None:
        """Close; what was written is on its way to disk already."""
        os.close(self._descriptor)

    def _write(self, record: Json) -> None:
        # Differences are between what has no secrets any more: a part of a Secret is no Secret.
        written = self._objects.to_write(record)
        line = orjson.dumps(written, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
        try:
            write_all(self._descriptor, line)
        except OSError as error:
            # Half a line would swallow the next one.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._whole)
            self._failure = self._failure or error
            self._failed.set()
            return
        self._whole += len(line)
        whole = self._objects.whole(written)
        if self._mirror is not None:
            self._mirror.add(whole)
