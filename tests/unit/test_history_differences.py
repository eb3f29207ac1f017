"""Objects are written by their differences and read as they were, whatever happened to them."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.differences import difference, merged
from harness.history.facts import Json
from harness.history.history import History
from harness.history.run_files import HISTORY_FILE
from harness.history.writer import Writer

POD: Json = {
    "metadata": {"name": "a", "namespace": "n", "uid": "1", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "web:1.0"}], "nodeName": "node"},
    "status": {"phase": "Running"},
}
KEYS = st.sampled_from(["metadata", "labels", "data", "x"])
VALUES = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3).map(
    lambda extra: {**extra, "metadata": {"name": "a", "uid": "1"}, "kind": "Thing"}
)


def changes(*objects: Json, verb: str = "MODIFIED", **more: Any) -> list[Json]:
    return [
        {"kind": "Pod", "verb": verb, "namespace": "n", "name": "a", "object": each, **more}
        for each in objects
    ]


def labelled(**labels: str) -> Json:
    pod = deepcopy(POD)
    pod["metadata"]["labels"] = labels
    return pod


def write(folder: Path, *records: Json) -> tuple[History, list[Json]]:
    """The history as it was told live, and the lines that the file got."""
    (folder / HISTORY_FILE).unlink(missing_ok=True)
    live = History()
    writer = Writer(folder, mirror=live)
    for each in records:
        writer.append("object", **each)
    writer.close()
    return live, [orjson.loads(line) for line in (folder / HISTORY_FILE).read_bytes().splitlines()]


@given(told=st.lists(st.tuples(OBJECTS, st.sampled_from(["ADDED", "MODIFIED", "DELETED"]))))
def test_what_was_written_is_read_as_it_was(
    told: list[tuple[Json, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("history")
    records = [change for obj, verb in told for change in changes(obj, verb=verb)]
    live, _ = write(folder, *records)
    assert [r["object"] for r in live.records] == [obj for obj, _ in told]
    assert History.read(folder).records == live.records


def test_a_label_is_written_alone(tmp_path: Path) -> None:
    _, [first, second] = write(tmp_path, *changes(POD, labelled(app="web", round="2")))
    assert first["object"] == POD
    assert "object" not in second
    assert second["difference"] == {"metadata": {"labels": {"round": "2"}}}


def test_first_seen_listed_again_or_made_anew_it_is_written_whole(tmp_path: Path) -> None:
    again = changes(POD, relisted=True)
    made_anew = [*changes(POD, verb="DELETED"), *changes(POD, verb="ADDED")]
    _, lines = write(tmp_path, *changes(POD, POD), *again, *made_anew)
    whole = ["object" in line for line in lines]
    assert whole == [True, False, True, False, True]


def test_what_a_difference_cannot_say_is_written_whole(tmp_path: Path) -> None:
    with_null = {**POD, "spec": {**POD["spec"], "priority": None}}
    live, [_, second] = write(tmp_path, *changes(POD, with_null))
    assert second["object"] == live.records[1]["object"] == with_null


def test_what_did_not_change_is_in_memory_once(tmp_path: Path) -> None:
    live, _ = write(tmp_path, *changes(POD, labelled(app="api")))
    read = History.read(tmp_path)
    for history in (live, read):
        before, after = (record["object"] for record in history.records)
        assert after["spec"] is before["spec"]
        assert after["metadata"]["labels"] is not before["metadata"]["labels"]
        first, second = history.pods["1"].states
        assert second.containers is first.containers


def test_a_secret_that_changes_is_no_less_hidden_in_a_difference(tmp_path: Path) -> None:
    def secret(value: str) -> Json:
        return {"kind": "Secret", "metadata": {"name": "a", "uid": "2"}, "data": {"key": value}}

    told = [secret("b25lc2VjcmV0"), secret("dHdvc2VjcmV0"), secret("b25lc2VjcmV0")]
    live, lines = write(tmp_path, *changes(*told))
    assert b"c2VjcmV0" not in orjson.dumps(lines)
    first, second, third = (record["object"]["data"]["key"] for record in live.records)
    assert lines[1]["difference"] == {"data": {"key": second}}
    assert first == third != second


def test_a_difference_names_what_went_away() -> None:
    before = {"a": {"b": 1, "c": 2}, "d": [1]}
    after = {"a": {"b": 1}}
    assert difference(before, after) == {"a": {"c": None}, "d": None}
    assert merged(before, {"a": {"c": None}, "d": None}) == after
