"""Children end with the coroutine that waits for them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from harness.host import processes
from harness.host.commands import CommandError
from harness.kube.eventually import eventually
from harness.nodes.nodes import bounded

pytestmark = pytest.mark.asyncio

# Tells its pid in a file, starts a child of its own, and pays no attention to SIGTERM.
STUBBORN = (
    "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "subprocess.Popen(['sleep', '1000']); "
    "print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); time.sleep(1000)"
)


async def gone(pid: int) -> None:
    try:
        await asyncio.to_thread(psutil.Process(pid).wait, 10)
    except psutil.NoSuchProcess:
        return


async def test_output_and_code_are_kept_apart() -> None:
    done = await processes.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.code, done.text, done.error) == (3, "out", "err")
    with pytest.raises(CommandError, match="left with code 3: err"):
        done.require()


async def test_stdin_arrives_whole() -> None:
    data = os.urandom(1_000_000)
    done = await processes.run(["cat"], stdin=data)
    assert done.stdout == data


async def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="not found") as caught:
        await processes.run(["no-such-program-here"])
    assert caught.value.code == 127


async def test_a_timeout_ends_the_child() -> None:
    with pytest.raises(CommandError, match=r"no end after 0\.2 s") as caught:
        await processes.run(["sleep", "1000"], timeout=0.2)
    assert caught.value.code == 124


async def test_cancelling_ends_even_a_stubborn_child_with_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processes, "_GRACE_SECONDS", 0.2)
    told = tmp_path / "pid"
    running = asyncio.create_task(processes.run([sys.executable, "-c", STUBBORN, told]))

    async def started() -> bool:
        return told.exists() and told.read_text().endswith("\n")

    await eventually(started, within=20, what="the child has told its process id")
    pid = int(told.read_text())
    (below,) = psutil.Process(pid).children()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(pid)
    await gone(below.pid)


async def test_a_bounded_command_ends_by_itself() -> None:
    done = await processes.run(bounded(["sleep", "1000"], 0.1))
    assert done.code == 124
