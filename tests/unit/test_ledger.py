"""The ledger: on disk before the change, readable after any death, healed once."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from harness.cluster import clusters, condition
from harness.cluster.clusters import Cluster, Versions
from harness.cluster.condition import Condition
from harness.cluster.leases import Lease, cluster_lease
from harness.errors import FaultError, HostError
from harness.undo import healing
from harness.undo.healing import HealReport, give_up, heal_dead
from harness.undo.ledger import Ledger, files, pending
from harness.undo.reach import OtherClusterError, World, open_world
from harness.undo.record import Record, read
from harness.undo.registry import undo

UNDONE: list[str] = []
BROKEN: dict[str, Exception] = {}


@undo("test-thing")
async def undo_thing(record: Record, _: World) -> None:
    name = record.data["name"]
    if name in BROKEN:
        raise BROKEN[name]
    # As every undo: done twice, it does nothing.
    if name not in UNDONE:
        UNDONE.append(name)


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    # This file's own undo must be one that another process could import.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    # What comes late has its own tests, among the crash points.
    monkeypatch.setattr(healing, "LATE_SECONDS", 0.0)
    UNDONE.clear()
    BROKEN.clear()


def cluster(uid: str = "uid-1") -> Cluster:
    return Cluster(
        name="unit",
        kubeconfig=Path("/nowhere/kubeconfig"),
        context="kind-unit",
        shape="one-node",
        nodes=(),
        entry_ports=(),
        uid=uid,
        versions=Versions(kubernetes="v1.36.3", containerd="", kind="", node_image=""),
        created=datetime.now(UTC),
        folder=Path("/nowhere"),
    )


def leave(*names: str, of: Cluster | None = None) -> Path:
    """A ledger as a process leaves it that died after these changes."""
    ledger = Ledger.open()
    for name in names:
        ledger.record("test-thing", {"name": name}, cluster=of, trial="t1")
    ledger._lock.release()
    return ledger.path


def heal() -> HealReport:
    return asyncio.run(heal_dead(open_world))


class TestRecording:
    def test_a_record_is_on_disk_before_record_returns(self) -> None:
        with Ledger.open() as ledger:
            ledger.record("test-thing", {"name": "a"}, cluster=cluster(), trial="t1")
            (record,) = list(read(ledger.path.read_bytes()).records)
            assert record.data == {"name": "a"}
            assert record.trial == "t1"
            assert record.cluster is not None
            assert record.cluster.uid == "uid-1"
            assert record.module == __name__

    def test_a_record_is_forced_to_the_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        forced: list[bytes] = []
        with Ledger.open() as ledger:
            monkeypatch.setattr(os, "fsync", lambda _: forced.append(ledger.path.read_bytes()))
            ledger.record("test-thing", {"name": "a"}, cluster=None, trial="t1")
        assert [record.data for record in read(forced[0]).records] == [{"name": "a"}]

    def test_a_state_folder_that_cannot_be_written_is_told_with_the_remedy(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "file"))
        with pytest.raises(HostError, match="point HARNESS_HOME"):
            Ledger.open()
        with pytest.raises(HostError, match="point HARNESS_HOME"):
            heal()  # not: nothing to heal

    def test_a_marked_record_is_finished_and_a_clean_ledger_goes(self) -> None:
        with Ledger.open() as ledger:
            entry = ledger.record("test-thing", {"name": "a"}, cluster=None, trial="t1")
            entry.done()
            assert list(read(ledger.path.read_bytes()).records) == []
        assert files() == []

    def test_a_ledger_with_something_left_stays(self) -> None:
        with Ledger.open() as ledger:
            ledger.record("test-thing", {"name": "a"}, cluster=None, trial="t1")
        assert [record.data["name"] for record in pending()] == ["a"]

    def test_nothing_is_recorded_that_another_process_could_not_undo(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONPATH", "")  # this test's own undo is found no more
        with Ledger.open() as ledger:
            with pytest.raises(FaultError, match="nothing was changed"):
                ledger.record("test-thing", {"name": "a"}, cluster=None, trial="t1")
            assert ledger.open_records == []
            assert ledger.path.read_bytes() == b""

    def test_an_undo_that_has_moved_is_found_by_its_kind(self) -> None:
        made = "from harness.undo.registry import undo_of; from harness.undo.record import Record"
        old = "Record(id='', kind='namespace', module='harness.cluster.namespaces', cluster=None,"
        code = f"{made}; print(undo_of({old} trial='', data={{}}, wall=0.0)).__module__)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == "harness.undo.namespaces"

    def test_nothing_is_recorded_that_nobody_can_undo(self) -> None:
        with Ledger.open() as ledger, pytest.raises(AssertionError, match="unheard-of"):
            ledger.record("unheard-of", {}, cluster=None, trial="t1")

    def test_a_full_disk_refuses_the_record_and_keeps_the_others_readable(self) -> None:
        with Ledger.open() as ledger:
            first = ledger.record("test-thing", {"name": "a"}, cluster=None, trial="t1")
            with disk_full_at(ledger.path.stat().st_size + 40):
                with pytest.raises(HostError, match="nothing was changed"):
                    ledger.record("test-thing", {"name": "b" * 100}, cluster=None, trial="t1")
                first.done()  # cannot be written either, and must not raise
            ledger.record("test-thing", {"name": "c"}, cluster=None, trial="t1")
            left = [record.data["name"] for record in list(read(ledger.path.read_bytes()).records)]
        # Undoing `a` twice does nothing; losing `c` would be a fault that stays.
        assert left in (["c"], ["c", "a"])

    def test_a_torn_line_hides_nothing_else(self) -> None:
        path = leave("a", "b")
        text = path.read_bytes()
        assert [r.data["name"] for r in read(text + b'\n{"record": {"id": "x').records] == [
            "b",
            "a",
        ]
        first, second = text.split()
        torn_in_between = first + b'\n{"rec\n' + second
        assert [r.data["name"] for r in list(read(torn_in_between).records)] == ["b", "a"]


class TestChange:
    def test_the_body_is_undone_however_it_ends(self) -> None:
        async def scenario() -> None:
            async with open_world() as world:
                with Ledger.open() as ledger:
                    with pytest.raises(KeyError):
                        async with ledger.change(
                            "test-thing", {"name": "a"}, cluster=None, trial="t", world=world
                        ):
                            assert pending() == []  # ours, and we live
                            assert len(ledger.open_records) == 1
                            raise KeyError
                    assert ledger.open_records == []

        asyncio.run(scenario())
        assert UNDONE == ["a"]
        assert files() == []

    def test_a_cancelled_body_is_undone(self) -> None:
        async def body(ledger: Ledger, world: World, inside: asyncio.Event) -> None:
            async with ledger.change(
                "test-thing", {"name": "a"}, cluster=None, trial="t", world=world
            ):
                inside.set()
                await asyncio.Event().wait()

        async def scenario() -> None:
            inside = asyncio.Event()
            async with open_world() as world:
                with Ledger.open() as ledger:
                    task = asyncio.create_task(body(ledger, world, inside))
                    await inside.wait()
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task

        asyncio.run(scenario())
        assert UNDONE == ["a"]

    def test_an_undo_that_fails_leaves_the_record_for_later(self) -> None:
        BROKEN["a"] = RuntimeError("node away")

        async def scenario() -> None:
            async with open_world() as world:
                with Ledger.open() as ledger, pytest.raises(RuntimeError):
                    async with ledger.change(
                        "test-thing", {"name": "a"}, cluster=None, trial="t", world=world
                    ):
                        pass

        asyncio.run(scenario())
        assert [record.data["name"] for record in pending()] == ["a"]
        BROKEN.clear()
        assert heal().clean
        assert UNDONE == ["a"]


class TestHealing:
    def test_the_newest_change_is_undone_first_across_processes(self) -> None:
        leave("first", "second")
        leave("third")
        report = heal()
        assert UNDONE == ["third", "second", "first"]
        assert report.clean
        assert len(report.healed) == 3
        assert files() == []
        assert heal().nothing_found

    def test_the_living_are_left_alone(self) -> None:
        leave("dead")
        with Ledger.open() as ledger:
            ledger.record("test-thing", {"name": "living"}, cluster=None, trial="t1")
            heal()
            assert UNDONE == ["dead"]
            assert files() == [ledger.path]

    def test_one_that_fails_stays_and_keeps_no_other_from_being_healed(self) -> None:
        leave("a", "b", "c")
        BROKEN["b"] = RuntimeError("node away")
        report = heal()
        assert UNDONE == ["c", "a"]
        assert not report.clean
        assert "node away" in report.lines()[-1]
        assert [record.data["name"] for record in pending()] == ["b"]
        BROKEN.clear()
        UNDONE.clear()
        assert heal().clean
        assert UNDONE == ["b"]

    def test_a_hanging_undo_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def hang(_: Record, __: World) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(healing, "UNDO_SECONDS", 0.05)
        monkeypatch.setattr(healing, "undo_of", lambda _: hang)
        leave("a")
        report = heal()
        assert "did not end within" in report.failed[0][1]
        assert len(pending()) == 1

    def test_what_was_done_to_a_cluster_that_is_gone_is_closed(self) -> None:
        leave("a", of=cluster())
        report = heal()
        assert UNDONE == []
        assert report.clean
        assert "no longer exists" in report.closed[0][1]
        assert files() == []

    def test_what_was_done_to_a_cluster_that_was_made_anew_is_closed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clusters, "load_record", lambda _: SimpleNamespace(uid="uid-2"))
        monkeypatch.setattr(World, "engine", lambda _: None)
        leave("a", of=cluster("uid-1"))
        report = heal()
        assert (UNDONE, report.clean, files()) == ([], True, [])
        assert "was rebuilt since" in report.closed[0][1]

    def test_what_was_done_to_a_cluster_of_another_identity_is_closed(self) -> None:
        BROKEN["a"] = OtherClusterError("context leads elsewhere", remedy="")
        leave("a")
        report = heal()
        assert report.clean
        assert "elsewhere" in report.closed[0][1]

    def test_an_undo_whose_module_is_gone_is_reported(self) -> None:
        path = leave("a")
        line = orjson.loads(path.read_bytes())
        line["record"] |= {"kind": "from-elsewhere", "module": "no_such_module"}
        path.write_bytes(orjson.dumps(line) + b"\n")
        report = heal()
        assert "no_such_module" in report.failed[0][1]
        assert path.exists()

    @pytest.mark.parametrize(
        "line",
        [b"17", b'"text"', b"[]", b"null", b'{"other": 1}', b'{"record": {"id": "x"}}'],
    )
    def test_a_line_that_nobody_understands_is_named_and_the_rest_is_healed(
        self, line: bytes
    ) -> None:
        path = leave("a", "b")
        path.write_bytes(path.read_bytes() + b"\n" + line)
        report = heal()
        assert UNDONE == ["b", "a"]
        assert not report.clean
        assert f"{path}: line 4 is no record" in report.lines()[-1]
        # Something may stand behind it, so it is told until somebody has looked.
        assert path.exists()

    def test_fields_of_another_version_are_passed_over(self) -> None:
        path = leave("a", of=cluster())
        line = orjson.loads(path.read_bytes())
        line["record"]["added_later"] = line["record"]["cluster"]["owned"] = True
        path.write_bytes(orjson.dumps(line))
        (record,) = pending()
        assert record.cluster is not None
        assert (record.data, record.cluster.uid) == ({"name": "a"}, "uid-1")

    def test_the_order_is_the_ledgers_not_the_clocks(self) -> None:
        path = leave("a", "b")
        lines = [orjson.loads(line) for line in path.read_bytes().split()]
        lines[0]["record"]["wall"] += 3600.0  # the clock was set back in between
        path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
        heal()
        assert UNDONE == ["b", "a"]

    def test_nodes_that_the_engine_no_longer_runs_need_no_undoing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def observe(name: str, engine: object) -> Condition:
            return Condition(name=name, state="stopped", reason="the engine was restarted")

        record = SimpleNamespace(uid="uid-1")
        monkeypatch.setattr(clusters, "load_record", lambda _: record)
        monkeypatch.setattr(condition, "observe", observe)
        monkeypatch.setattr(World, "engine", lambda _: object())
        leave("a", of=cluster())
        report = heal()
        assert (UNDONE, report.clean, files()) == ([], True, [])
        assert "the engine was restarted" in report.closed[0][1]

    def test_a_cluster_that_was_made_anew_needs_no_undoing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clusters, "load_record", lambda _: SimpleNamespace(uid="uid-2"))
        monkeypatch.setattr(World, "engine", lambda _: None)
        leave("a", of=cluster("uid-1"))
        report = heal()
        assert (UNDONE, report.clean, files()) == ([], True, [])
        assert "was rebuilt since (kube-system had UID uid-1)" in report.closed[0][1]

    def test_without_an_engine_nothing_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clusters, "load_record", lambda _: SimpleNamespace(uid="uid-1"))
        monkeypatch.setattr(World, "engine", lambda _: None)
        leave("a", of=cluster())
        heal()
        assert UNDONE == ["a"]

    def test_what_lies_on_other_clusters_is_left_to_those_who_hold_them(
        self, tmp_path: Path
    ) -> None:
        leave("elsewhere", of=cluster())
        leave("here")
        lease = Lease(folder=tmp_path / "other", exclusive=True, purpose="a trial")
        report = asyncio.run(heal_dead(open_world, under=lease))
        assert (UNDONE, report.clean) == (["here"], True)
        assert [record.data["name"] for record in pending()] == ["elsewhere"]

    def test_a_healer_waits_for_whoever_has_the_cluster_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clusters, "load_record", lambda _: SimpleNamespace(uid="uid-1"))
        monkeypatch.setattr(World, "engine", lambda _: None)
        leave("a", of=cluster())

        async def scenario() -> None:
            async with cluster_lease(clusters.folder("unit"), exclusive=True):
                healing_ = asyncio.create_task(heal_dead(open_world))
                await asyncio.sleep(0.3)
                assert UNDONE == []
            assert (await healing_).clean

        asyncio.run(scenario())
        assert UNDONE == ["a"]

    def test_what_is_given_up_is_never_undone(self) -> None:
        leave("a", of=cluster())
        leave("b")
        (record,) = asyncio.run(give_up("unit"))
        assert record.data == {"name": "a"}
        assert heal().clean
        assert UNDONE == ["b"]

    def test_two_healers_take_turns(self) -> None:
        leave("a")
        inside: list[str] = []

        @asynccontextmanager
        async def slow_world() -> AsyncIterator[World]:
            inside.append("in")
            assert inside.count("in") - inside.count("out") == 1
            await asyncio.sleep(0.3)
            async with open_world() as world:
                yield world
            inside.append("out")

        async def both() -> list[HealReport]:
            return list(await asyncio.gather(heal_dead(slow_world), heal_dead(slow_world)))

        reports = asyncio.run(both())
        assert sorted(len(report.healed) for report in reports) == [0, 1]
        assert UNDONE == ["a"]


def test_a_process_killed_in_mid_change_is_healed_by_the_next(tmp_path: Path) -> None:
    """The whole way: SIGKILL between change and undo, then healing in this process, with the undo
    found by the module name in the record."""
    (tmp_path / "planted_change.py").write_text(
        "import pathlib\n"
        "from harness.undo.registry import undo\n"
        "@undo('planted-file')\n"
        "async def remove(record, world):\n"
        "    pathlib.Path(record.data['path']).unlink(missing_ok=True)\n"
    )
    victim = tmp_path / "victim"
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path), str(victim)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, str(tmp_path)])},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "changed"
        assert victim.exists()
        assert pending() == []  # it lives
        assert heal().nothing_found
        child.send_signal(signal.SIGKILL)
    sys.path.insert(0, str(tmp_path))
    try:
        report = heal()
    finally:
        sys.path.remove(str(tmp_path))
    assert [record.kind for record in report.healed] == ["planted-file"]
    assert not victim.exists()
    assert files() == []


RUN = """
import pathlib, sys, time
import planted_change
from harness.undo.ledger import Ledger
ledger = Ledger.open()
ledger.record("planted-file", {"path": sys.argv[2]}, cluster=None, trial="t")
pathlib.Path(sys.argv[2]).write_text("changed")
print("changed", flush=True)
time.sleep(60)
"""


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Writes past `size` bytes of a file fail, as on a full disk (EFBIG instead of ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
