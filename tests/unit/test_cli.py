"""How the command ends: exit codes, messages with remedies, no traceback for a user's mistake."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from histories import FRAGILE, write_run

from harness import cli
from harness.cluster.clusters import ClusterRecord, NodeRecord
from harness.commands import run as run_command
from harness.host.signals import Interrupted
from harness.runs.options import Options


class Said(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def harness(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """The command's own entry point, in this process."""

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["harness", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return Said(int(left.value.code or 0), *capsys.readouterr())

    return run


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(harness: Callable[..., Said], command: str) -> None:
    said = harness(command, "--help")
    assert said.code == 0
    assert f"{command} [OPTIONS]" in said.out
    assert len(said.out.splitlines()) > 5


def test_help_lists_every_command_and_the_exit_codes(harness: Callable[..., Said]) -> None:
    said = harness("--help")
    assert said.code == 0
    assert all(f"  {command}" in said.out for command in cli.COMMANDS)
    # The line is broken wherever the terminal's width wants it.
    assert "3 inconclusive" in " ".join(said.out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["up", "--no-such-option"], "No such option"),
        (["up", "--shape", "tiny"], "'tiny' is not one of"),
        (["up", "--cluster", "Bad_Name"], "'Bad_Name' cannot be a cluster's name"),
        (["down", "--cluster", "../x"], "'../x' cannot be a cluster's name"),
        (["run", "--times", "0"], "should be greater than or equal to 1"),
        (["run", "--shape", "tiny"], "'tiny' is not one of"),
    ],
)
def test_wrong_usage_leaves_with_2_and_says_why(
    harness: Callable[..., Said], words: list[str], message: str
) -> None:
    said = harness(*words)
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err


def test_a_remedy_comes_with_the_error(harness: Callable[..., Said]) -> None:
    assert "remedy: use 1 to 36 lower-case letters" in harness("up", "--cluster", "Bad_Name").err


def test_status_as_json_of_a_cluster_whose_nodes_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    ClusterRecord(
        name="shop",
        shape="single",
        phase="ready",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        nodes=[NodeRecord(name="shop-control-plane", role="control-plane")],
        entry_ports=[],
        recipe="r",
        uid="u1",
    ).save()
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "status", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {each["name"]: each["state"] for each in json.loads(done.stdout)}
    assert found.pop("shop") == "stopped"
    # Whatever else an engine of this machine runs is none of this state folder's.
    assert set(found.values()) <= {"foreign"}


def test_rounds_have_folders_of_their_own_and_the_worst_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = iter([0, 3, 1])

    def execute(options: Options, *, verbose: bool) -> int:
        assert options.folder is not None
        write_run(options.folder, FRAGILE)
        return next(codes)

    monkeypatch.setattr(run_command, "execute", execute)
    assert run_command.repeat(Options(folder=tmp_path), 3) == 3
    assert sorted(each.name for each in tmp_path.iterdir()) == ["round-1", "round-2", "round-3"]
    told = capsys.readouterr()
    assert "Of 3 rounds" in told.out
    assert "Round 3 of 3" in told.err


def test_rounds_that_were_over_are_told_when_one_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(options: Options, *, verbose: bool) -> int:
        assert options.folder is not None
        if options.folder.name == "round-2":
            raise Interrupted(signal.SIGINT)
        write_run(options.folder, FRAGILE)
        return 0

    monkeypatch.setattr(run_command, "execute", execute)
    with pytest.raises(Interrupted):
        run_command.repeat(Options(folder=tmp_path), 3)
    assert "Of 1 rounds" in capsys.readouterr().out
