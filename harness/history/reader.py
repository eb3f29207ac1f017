"""Reads the records of a history file, objects whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from harness.errors import HistoryError
from harness.history.differences import LatestObjects
from harness.history.facts import Json
from harness.history.records import READABLE

_OTHER_FOLDER = "name the folder of a run or of one of its trials"
_CHANGED = "the file was changed after it was written; restore it from a copy"


def read_records(path: Path) -> Iterator[Json]:
    """Each record in the order of the file; a torn last line is left out. Raises HistoryError."""
    if not path.is_file():
        raise HistoryError(f"{path} does not exist", remedy=_OTHER_FOLDER)
    objects = LatestObjects()
    for number, record in _lines(path):
        if not isinstance(record, dict) or not {"t", "type"} <= record.keys():
            raise HistoryError(
                f"{path}:{number} is no record: it has no `t` and `type`", remedy=_OTHER_FOLDER
            )
        if record["type"] == "trial" and record.get("schema") not in READABLE:
            raise HistoryError(
                f"{path} has schema {record.get('schema')!r}, this harness reads "
                f"{' and '.join(map(str, READABLE))}",
                remedy="judge the run with the version that recorded it (see run.json)",
            )
        try:
            whole = objects.whole(record)
        except KeyError as error:
            raise HistoryError(
                f"{path}:{number} differs from an object that no line before it has",
                remedy=_CHANGED,
            ) from error
        yield whole


def _lines(path: Path) -> Iterator[tuple[int, Json]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise HistoryError(
                    f"{path}:{number} is not JSON: {error}", remedy=_CHANGED
                ) from error
