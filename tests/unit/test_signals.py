"""Signals: the first one ends the work by undoing it, and no later one stops the undoing."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import product

import pytest

from harness.host.signals import ENDING

PAIRS = list(product(ENDING, ENDING))

# The undoing ends when it is told to, so that whatever comes before came half way.
WORK = """
import asyncio, sys

def tell(text):
    print(text, flush=True)

async def work():
    try:
        tell("begun")
        await asyncio.Event().wait()
    finally:
        tell("undoing")
        await asyncio.to_thread(sys.stdin.readline)
        tell("undone")
"""
COMMAND = (
    WORK
    + """
from harness.commands.running import until_done
from harness.host.signals import Interrupted

try:
    until_done(work())
except Interrupted as interrupted:
    sys.exit(interrupted.exit_code)
"""
)
# As the plugin's fixtures do it: the loop is pytest-asyncio's, and only the undoing is ours.
FIXTURE = """
import asyncio, sys
from harness.host.signals import as_interrupt, deferred

def tell(text):
    print(text, flush=True)

def say(text):
    print(text, file=sys.stderr, flush=True)

async def test():
    try:
        tell("begun")
        await asyncio.Event().wait()
    finally:
        with deferred(say):
            tell("undoing")
            await asyncio.to_thread(sys.stdin.readline)
            tell("undone")

with as_interrupt(), asyncio.Runner() as runner:
    try:
        runner.run(test())
    except KeyboardInterrupt:
        tell("interrupted")
"""


class Child:
    """A Python program that is told what to do by signals and lines."""

    def __init__(self, program: str, *, before: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", before + program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self, line: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{line}\n"

    def complains(self, text: str) -> None:
        """Read what it tells its user, up to a text."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if text in line:
                return
        raise AssertionError(f"never said {text!r}")

    def ends(self, rest: Sequence[str]) -> int:
        """Let it finish its undoing; what else it says, and its exit code."""
        out, errors = self.process.communicate("\n", timeout=60)
        assert out.split() == list(rest), errors
        return self.process.returncode


@pytest.fixture
def children() -> Iterator[list[Child]]:
    """Ended with the test, whatever becomes of it."""
    made: list[Child] = []
    yield made
    for child in made:
        child.process.kill()
        child.process.wait()


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=lambda s: s.name)
def test_a_second_signal_does_not_stop_a_command_s_undoing(
    children: list[Child], first: signal.Signals, second: signal.Signals
) -> None:
    child = Child(COMMAND)
    children.append(child)
    child.says("begun")
    child.process.send_signal(first)
    child.says("undoing")
    child.complains(f"{first.name}: undoing what was begun")
    child.process.send_signal(second)
    child.complains(f"{second.name}: still undoing")
    assert child.ends(["undone"]) == 128 + first


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=lambda s: s.name)
def test_a_second_signal_does_not_stop_a_fixture_s_undoing(
    children: list[Child], first: signal.Signals, second: signal.Signals
) -> None:
    child = Child(FIXTURE)
    children.append(child)
    child.says("begun")
    child.process.send_signal(first)
    child.says("undoing")
    child.process.send_signal(second)
    child.complains(f"{second.name}: still undoing")
    assert child.ends(["undone", "interrupted"]) == 0


def test_what_a_signal_asked_for_happens_after_the_undoing(children: list[Child]) -> None:
    """A test that had ended by itself: the session ends all the same."""
    child = Child(FIXTURE.replace("await asyncio.Event().wait()", "pass"))
    children.append(child)
    child.says("begun")
    child.says("undoing")
    child.process.send_signal(signal.SIGTERM)
    child.complains("SIGTERM: still undoing")
    assert child.ends(["undone", "interrupted"]) == 0


def test_nohup_is_heeded(children: list[Child]) -> None:
    ignored = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    child = Child(COMMAND, before=ignored)
    children.append(child)
    child.says("begun")
    child.process.send_signal(signal.SIGHUP)
    child.process.send_signal(signal.SIGTERM)
    child.says("undoing")
    assert child.ends(["undone"]) == 128 + signal.SIGTERM


def test_the_undoing_goes_on_when_the_terminal_is_gone() -> None:
    """Whatever is printed meanwhile would fail: to a terminal that hung up, nothing can be."""
    read, write = os.pipe()
    printing = COMMAND.replace(
        "await asyncio.to_thread(sys.stdin.readline)", 'print("half way", file=sys.stderr)'
    ).replace("print(text, flush=True)", f"import os; os.write({write}, text.encode() + b'\\n')")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", printing],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        pass_fds=[write],
        start_new_session=True,
    )
    os.close(theirs)
    os.close(write)
    with os.fdopen(read) as told:
        assert told.readline() == "begun\n"
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert told.read() == "undoing\nundone\n"
    assert process.wait(60) == 128 + signal.SIGHUP
