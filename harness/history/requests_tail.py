"""Reading the requests of a load from its file, also while the generator writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from harness.errors import HistoryError
from harness.history.arrivals import Header
from harness.history.requests import COLUMNS, Requests, Times

_ROWS = 4096


class RequestsTail:
    """Reads a recording, also while it is written; `read` gives all that is there so far.

    A file that does not exist yet is an empty recording, a torn last line is left for later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended: Mapping[str, Any] | None = None
        self._offset = 0
        self._requests = Requests.empty()

    def read(self) -> Requests:
        """All requests recorded so far. Raises HistoryError for what is no recording."""
        lines = self._news()
        now = self._requests
        header, endpoints, due = now.header, now.endpoints, now.due
        recorded_until, dispatched = now.recorded_until, now.dispatched
        columns = _Columns(now)
        news = False
        for line in lines:
            news = True
            entry = self._decode(line)
            if "v" in entry:
                columns.add(entry)
            elif "health" in entry:
                recorded_until, dispatched = entry["health"]["at"], entry["health"]["sent"]
            elif "endpoint" in entry:
                endpoints = (*endpoints, entry["endpoint"])
            elif "header" in entry:
                header = Header.of(entry["header"])
                endpoints, due = header.endpoints, header.due()
                recorded_until, dispatched = header.started, 0
            elif "end" in entry:
                self.ended = entry["end"]
                recorded_until = dispatched = None
                if due is not None:
                    due.stop = self.ended["stopped"]
        if news:
            self._requests = Requests.of(
                *columns.whole(),
                endpoints=endpoints,
                header=header,
                due=due,
                recorded_until=recorded_until,
                dispatched=dispatched,
            )
        return self._requests

    def _news(self) -> Iterator[bytes]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield line

    def _decode(self, line: bytes) -> dict[str, Any]:
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise HistoryError(
                f"{self.path} holds a line that is not JSON: {error}",
                remedy="the file was changed after it was written; restore it from a copy",
            ) from error
        if not isinstance(entry, dict):
            raise HistoryError(
                f"{self.path} is no recording of requests", remedy="name a file that a load wrote"
            )
        return entry


class _Columns:
    """Grows the columns of requests; lists become arrays while their numbers are in the cache."""

    def __init__(self, begun: Requests) -> None:
        self._parts: list[list[Times]] = [[getattr(begun, name)] for name in COLUMNS]
        self._lists: list[list[int]] = [[] for _ in COLUMNS]

    def add(self, entry: Mapping[str, list[int]]) -> None:
        for name, values in zip(COLUMNS, self._lists, strict=True):
            values += entry[name]
        if len(self._lists[0]) >= _ROWS:
            self._convert()

    def whole(self) -> list[Times]:
        self._convert()
        return [np.concatenate(parts) for parts in self._parts]

    def _convert(self) -> None:
        for parts, values in zip(self._parts, self._lists, strict=True):
            parts.append(np.array(values, dtype=np.int64))
            values.clear()
