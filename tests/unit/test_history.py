"""The index over records: phases, owners, restarts, readiness, and folders on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from judged import NAMESPACE, WORKLOAD, Tale, at, calm

from harness.errors import HistoryError
from harness.history.history import History
from harness.history.records import SCHEMA, Window
from harness.history.run_files import HISTORY_FILE
from harness.history.writer import Writer


def restarts(history: History, role: str = "workload") -> list[tuple[int, str]]:
    return [(r.t, r.pod) for r in history.restarts(role, history.watched)]


# -- whose pod is it -----------------------------------------------------------------------------


def test_pods_belong_to_a_role_through_their_owners() -> None:
    history = calm().until()
    assert [pod.name for pod in history.pods_of("workload")] == ["a", "b"]
    assert history.owners(history.pods["uid-a"]) == [
        "Pod/a",
        "ReplicaSet/checkout-api-5f",
        "Deployment/checkout-api",
    ]


def test_restart_of_another_workload_in_the_namespace_does_not_count() -> None:
    tale = calm()
    tale.deployment("checkout-worker")
    tale.pod(8, "w", of="checkout-worker")
    tale.pod(25, "w", of="checkout-worker", restarts=3)
    assert restarts(tale.until()) == []
    assert tale.until().ready_at("workload", at(25)) == 2


def test_pod_whose_name_only_looks_alike_does_not_count() -> None:
    tale = calm()
    tale.deployment("checkout-api-canary")
    tale.pod(25, "checkout-api-5f-xyz", of="checkout-api-canary", restarts=1)
    assert restarts(tale.until()) == []


def test_pod_in_another_namespace_does_not_count() -> None:
    tale = calm()
    tale.pod(25, "z", namespace="elsewhere", restarts=1)
    assert restarts(tale.until()) == []


def test_pod_may_be_seen_before_its_replica_set() -> None:
    tale = Tale()
    tale.pod(2.0, "a")
    tale.deployment()
    assert [pod.name for pod in tale.until(2.4).pods_of("workload")] == []
    assert [pod.name for pod in tale.until(2.6).pods_of("workload")] == ["a"]


# -- restarts ------------------------------------------------------------------------------------


def test_restarts_are_counted_only_from_injection_to_the_end_of_recovery() -> None:
    tale = calm()
    for t, count in ((15.0, 1), (19.9, 2), (20.0, 3), (59.9, 4), (60.0, 5), (61.5, 6)):
        tale.pod(t, "a", restarts=count)
    assert restarts(tale.until()) == [(at(20.0), "a"), (at(59.9), "a")]


def test_one_state_may_stand_for_several_restarts() -> None:
    tale = calm()
    tale.pod(25, "a", restarts=3, last={"exitCode": 137, "reason": "Error"})
    found = tale.until().restarts("workload", tale.until().watched)
    assert [(r.t, r.exit_code, r.reason) for r in found] == [(at(25), 137, "Error")] * 3


def test_counter_that_does_not_grow_is_no_restart() -> None:
    tale = calm()
    tale.pod(15, "a", restarts=2)
    tale.pod(25, "a", restarts=2, ready=False)
    tale.pod(26, "a", restarts=2)
    assert restarts(tale.until()) == []


def test_new_pod_of_the_workload_counts_what_it_restarted_since_it_was_first_seen() -> None:
    tale = calm()
    tale.pod(25, "c", verb="ADDED")
    tale.pod(30, "c", restarts=1)
    assert restarts(tale.until()) == [(at(30), "c")]


# -- readiness -----------------------------------------------------------------------------------


def test_pod_that_is_being_deleted_is_not_ready() -> None:
    tale = calm()
    tale.pod(25, "a", deleting=True)
    assert tale.until().ready_at("workload", at(26)) == 1


def test_ready_series_has_one_point_per_change() -> None:
    tale = calm()
    tale.pod(25, "a", ready=False)
    tale.pod(26, "a", ready=False, restarts=1)
    tale.pod(27, "a", ready=True, restarts=1)
    series = [p for p in tale.until().ready_series("workload") if at(20) <= p[0] < at(60)]
    assert series == [(at(25), 1), (at(27), 2)]


# -- phases --------------------------------------------------------------------------------------


def test_windows() -> None:
    history = calm().until(30)
    assert history.phase("control") == Window(at(10), at(20) - 1)
    assert history.phase("sustain") == Window(at(22), None)
    assert history.phase("heal") is None
    assert history.watched == Window(at(20), None)
    assert Window(1, 2).holds(1)
    assert not Window(1, 2).holds(2)


def test_what_comes_after_removal_began_is_not_watched() -> None:
    tale = calm()
    tale.edges = {k: v for k, v in tale.edges.items() if k not in ("heal", "recover")}
    assert tale.until().watched == Window(at(20), at(61))


# -- folders -------------------------------------------------------------------------------------


def written(folder: Path, *lines: bytes) -> Path:
    (folder / HISTORY_FILE).write_bytes(b"".join(lines))
    return folder


def line(**data: Any) -> bytes:
    return orjson.dumps({"t": 1, "wall": 1.0, **data}) + b"\n"


TRIAL = line(type="trial", schema=SCHEMA, trial="1a2b")


DIFFERENT = line(type="object", kind="Pod", verb="MODIFIED", name="a", difference={"spec": {}})


def test_writer_and_reader_agree(tmp_path: Path) -> None:
    live = History()
    writer = Writer(tmp_path, mirror=live)
    for record in calm().until().records:
        rest = {k: v for k, v in record.items() if k not in ("t", "wall", "type")}
        writer.append(record["type"], t=record["t"], **rest)
    writer.close()
    read = History.read(tmp_path)
    assert read.records == orjson.loads(orjson.dumps(live.records))
    assert read.ready_series("workload") == live.ready_series("workload")
    assert read.facts.role("workload") == replace(WORKLOAD, namespace=NAMESPACE)


def test_torn_last_line_is_left_out(tmp_path: Path) -> None:
    torn = line(type="problem", blame="host", message="x")[:-5]
    history = History.read(written(tmp_path, TRIAL, line(type="note", text="x"), torn))
    assert [r["type"] for r in history.records] == ["trial", "note"]
    assert history.problems == []


def test_trial_record_need_not_be_the_first_line(tmp_path: Path) -> None:
    first = line(type="phase", phase="preflight", edge="begin")
    assert History.read(written(tmp_path, first, TRIAL)).trial["trial"] == "1a2b"


def test_a_run_of_the_schema_before_can_be_read(tmp_path: Path) -> None:
    older = line(type="trial", schema=1, trial="1a2b")
    assert History.read(written(tmp_path, older)).trial["trial"] == "1a2b"


def test_record_types_of_later_versions_are_left_alone(tmp_path: Path) -> None:
    history = History.read(written(tmp_path, TRIAL, line(type="sunspots", number=4)))
    assert len(history.records) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([line(type="trial", schema=3)], "has schema 3, this harness reads 1 and 2"),
        ([line(type="trial")], "has schema None, this harness reads 1 and 2"),
        ([TRIAL, DIFFERENT], r"history.jsonl:2 differs from an object that no line before it has"),
        ([TRIAL, b"{not json\n", TRIAL], r"history.jsonl:2 is not JSON"),
        ([b'{"some": "other file"}\n'], r"history.jsonl:1 is no record"),
        ([b"[1, 2]\n"], r"history.jsonl:1 is no record"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, lines: list[bytes], message: str) -> None:
    with pytest.raises(HistoryError, match=message) as caught:
        History.read(written(tmp_path, *lines))
    assert caught.value.remedy


def test_folder_without_a_history(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="does not exist"):
        History.read(tmp_path)
