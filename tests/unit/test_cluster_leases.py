"""Leases hold across processes and end with them, in whatever way these end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from harness.cluster import leases
from harness.cluster.leases import (
    being_changed,
    cluster_lease,
    holders,
    lease_entry_port,
    lifecycle_lock,
)
from harness.cluster.shapes import EntryPort
from harness.errors import ClusterError

PORTS = [EntryPort(node_port=30000 + n, host_port=41000 + n) for n in range(2)]
SOON = timedelta(seconds=0.3)

HOLD = """
import asyncio, sys
from pathlib import Path
from harness.cluster.leases import cluster_lease

async def main():
    async with cluster_lease(Path(sys.argv[1]), exclusive=sys.argv[2] == "alone", purpose="a test"):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def hold(folder: Path, how: str) -> subprocess.Popen[str]:
    """Another process that holds the cluster's lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), how], stdout=subprocess.PIPE, text=True
    )
    if process.stdout is None or process.stdout.readline() != "held\n":
        raise AssertionError("the other process did not get its lease")
    return process


def held(folder: Path, *, exclusive: bool) -> bool:
    """Whether this process gets the lease soon."""

    async def attempt() -> None:
        async with cluster_lease(folder, exclusive=exclusive, wait=SOON, tell=lambda _: None):
            pass

    try:
        asyncio.run(attempt())
    except ClusterError:
        return False
    return True


@pytest.mark.parametrize(
    ("theirs", "ours_alone", "expected"),
    [("shared", False, True), ("shared", True, False), ("alone", False, False)],
)
def test_leases_of_two_processes(
    tmp_path: Path, theirs: str, ours_alone: bool, expected: bool
) -> None:
    other = hold(tmp_path, theirs)
    try:
        assert held(tmp_path, exclusive=ours_alone) is expected
    finally:
        other.kill()
        other.wait()
    assert held(tmp_path, exclusive=True)


def test_who_holds_it_is_told_and_forgotten_after_sigkill(tmp_path: Path) -> None:
    other = hold(tmp_path, "shared")
    (holder,) = holders(tmp_path)
    assert (holder.pid, holder.purpose, holder.exclusive) == (other.pid, "a test", False)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert holders(tmp_path) == []
    assert list((tmp_path / "holders").iterdir()) == []


@pytest.mark.asyncio
async def test_waiting_in_vain_names_the_holder(tmp_path: Path) -> None:
    async with cluster_lease(tmp_path, purpose="trial liveness[fragile]"):
        with pytest.raises(ClusterError, match=r"still in use .* trial liveness\[fragile\]"):
            async with cluster_lease(tmp_path, exclusive=True, wait=SOON):
                pass


@pytest.mark.asyncio
async def test_only_who_is_kept_waiting_by_others_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_TELL_AFTER_SECONDS", 0.0)
    told: list[str] = []

    async def waits() -> None:
        with pytest.raises(ClusterError):
            async with cluster_lease(tmp_path, exclusive=True, wait=SOON, tell=told.append):
                pass

    async with cluster_lease(tmp_path):
        await waits()
    assert told == []
    process = hold(tmp_path, "shared")
    try:
        await waits()
    finally:
        process.kill()
        process.wait()
    assert [f"held by pid {process.pid}" in line for line in told] == [True]


@pytest.mark.asyncio
async def test_one_who_waits_to_be_alone_is_not_overtaken(tmp_path: Path) -> None:
    order: list[str] = []

    async def alone() -> None:
        async with cluster_lease(tmp_path, exclusive=True):
            order.append("alone")

    async def late() -> None:
        async with cluster_lease(tmp_path):
            order.append("late")

    async with cluster_lease(tmp_path):
        first = asyncio.create_task(alone())
        await asyncio.sleep(0)  # it tries once, and waits at the turnstile from here on
        second = asyncio.create_task(late())
        await asyncio.sleep(0)
        assert order == []
    await asyncio.gather(first, second)
    assert order == ["alone", "late"]


@pytest.mark.asyncio
async def test_a_cancelled_wait_leaves_nothing_locked(tmp_path: Path) -> None:
    async def alone() -> None:
        async with cluster_lease(tmp_path, exclusive=True):
            raise AssertionError("somebody else holds it")

    async with cluster_lease(tmp_path):
        waiting = asyncio.create_task(alone())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with cluster_lease(tmp_path, wait=SOON):
            pass


@pytest.mark.asyncio
async def test_entry_ports_are_different_until_there_are_no_more(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        got = [await stack.enter_async_context(lease_entry_port(tmp_path, PORTS)) for _ in PORTS]
        assert sorted(port.node_port for port in got) == [30000, 30001]
        with pytest.raises(ClusterError, match="one of 2 entry ports"):
            await stack.enter_async_context(lease_entry_port(tmp_path, PORTS, wait=SOON))
    async with lease_entry_port(tmp_path, PORTS, wait=SOON) as port:
        assert port in PORTS


@pytest.mark.asyncio
async def test_a_cluster_without_entry_ports_has_none_to_lease(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no entry ports"):
        async with lease_entry_port(tmp_path, []):
            pass


@pytest.mark.asyncio
async def test_a_lock_on_a_removed_file_excludes_nobody_and_is_not_given(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    async with lifecycle_lock(folder):
        assert being_changed(folder)
        (folder / "lifecycle").unlink()
        async with lifecycle_lock(folder) as lock:
            assert os.path.samestat(os.fstat(lock.descriptor), (folder / "lifecycle").stat())
    assert not being_changed(folder)


def test_asking_about_a_cluster_that_never_was_makes_no_files(tmp_path: Path) -> None:
    assert not being_changed(tmp_path / "never")
    assert holders(tmp_path / "never") == []
    assert list(tmp_path.iterdir()) == []
