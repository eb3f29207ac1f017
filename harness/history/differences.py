"""Objects in the file of a history: whole when they are first seen, then only what has changed.

What has changed is a JSON merge patch (RFC 7396): mappings are merged key by key, null takes a key
away, anything else, a list too, replaces what was there. Readers see whole objects all the same;
what a change left alone is there in memory once, however many records have it.
"""

from __future__ import annotations

from typing import Any

from harness.history.facts import Json


def difference(before: Json, after: Json) -> Json:
    """The merge patch that makes one object of the other."""
    patch: Json = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := difference(old, value):
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch


def merged(before: Any, patch: Json) -> Json:
    """An object with a merge patch applied; the two share what the patch does not name."""
    after: Json = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = merged(after.get(key), value) if isinstance(value, dict) else value
    return after


class LatestObjects:
    """The latest of every object in one file; its writer and its readers tell it every record.

    Records of other types than `object` are left as they are.
    """

    def __init__(self) -> None:
        self._objects: dict[tuple[Any, ...], Json] = {}

    def to_write(self, record: Json) -> Json:
        """A record as it is written: an object that was seen before by its `difference` alone."""
        if record["type"] != "object":
            return record
        before = self._objects.get(_which(record))
        if before is None or record["verb"] == "ADDED" or record.get("relisted"):
            return record
        patch = difference(before, record["object"])
        # A null in the object itself is beyond a merge patch.
        if merged(before, patch) != record["object"]:
            return record
        return _without(record, "object") | {"difference": patch}

    def whole(self, written: Json) -> Json:
        """A record as written, with its whole object; KeyError if it differs from none before."""
        if written["type"] != "object":
            return written
        which, record = _which(written), written
        if "difference" in written:
            obj = merged(self._objects[which], written["difference"])
            record = _without(written, "difference") | {"object": obj}
        if record["verb"] == "DELETED":
            self._objects.pop(which, None)
        else:
            self._objects[which] = record["object"]
        return record


def _which(record: Json) -> tuple[Any, ...]:
    return record["kind"], record.get("namespace"), record.get("name")


def _without(record: Json, left_out: str) -> Json:
    return {key: value for key, value in record.items() if key != left_out}
