"""Children end with the coroutine that waits for them."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

import psutil
import pytest

from harness.cluster import children
from harness.cluster.nodes import bounded, tied_to_stdin
from harness.cluster.process import CommandError

pytestmark = pytest.mark.asyncio

# Prints its pid, starts a child of its own, and pays no attention to SIGTERM.
STUBBORN = (
    "import os, signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "subprocess.Popen(['sleep', '1000']); print(os.getpid(), flush=True); time.sleep(1000)"
)


async def gone(pid: int) -> None:
    try:
        await asyncio.to_thread(psutil.Process(pid).wait, 10)
    except psutil.NoSuchProcess:
        return


async def test_output_and_code_are_kept_apart() -> None:
    done = await children.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.code, done.text, done.error) == (3, "out", "err")
    with pytest.raises(CommandError, match="left with code 3: err"):
        done.require()


async def test_stdin_arrives_whole() -> None:
    data = os.urandom(1_000_000)
    done = await children.run(["cat"], stdin=data)
    assert done.stdout == data


async def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="not found") as caught:
        await children.run(["no-such-program-here"])
    assert caught.value.code == 127


async def test_a_timeout_ends_the_child() -> None:
    with pytest.raises(CommandError, match=r"no end after 0\.2 s") as caught:
        await children.run(["sleep", "1000"], timeout=0.2)
    assert caught.value.code == 124


async def test_cancelling_ends_even_a_stubborn_child_with_its_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "_GRACE_SECONDS", 0.2)
    async with children.lines([sys.executable, "-c", STUBBORN]) as output:
        pid = int(await anext(output))
        (below,) = psutil.Process(pid).children()
    await gone(pid)
    await gone(below.pid)


async def test_lines_come_while_the_child_runs() -> None:
    async with children.lines(["sh", "-c", "echo one; echo two; sleep 1000"]) as output:
        assert [await anext(output), await anext(output)] == ["one", "two"]


async def test_lines_of_a_failing_child_raise_with_its_words() -> None:
    async with children.lines(["sh", "-c", "echo one; echo broken >&2; exit 4"]) as output:
        assert await anext(output) == "one"
        with pytest.raises(CommandError, match="broken"):
            await anext(output)


async def test_a_bounded_command_ends_by_itself() -> None:
    done = await children.run(bounded(["sleep", "1000"], 0.1))
    assert done.code == 124


async def test_a_command_tied_to_stdin_ends_with_it() -> None:
    words = tied_to_stdin(["sh", "-c", "echo $$; exec sleep 1000"])
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    assert psutil.pid_exists(pid)
    process.stdin.close()
    await gone(pid)
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
