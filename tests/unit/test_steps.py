"""What set-up shows while it works, and what it says when a command fails."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from harness.errors import HostError
from harness.host.progress import Reporter, Step, tail


def plain() -> tuple[Reporter, io.StringIO]:
    text = io.StringIO()
    return Reporter(Console(file=text, width=200, highlight=False)), text


def test_a_step_leaves_one_line_with_seconds_and_its_note() -> None:
    reporter, text = plain()
    with reporter.step("kind v0.33.0") as step:
        step.note = "cached"
    line = text.getvalue().strip()
    assert line.startswith("ok")
    assert re.search(r"kind v0\.33\.0: \d+\.\d s \(cached\)$", line)


def test_a_failed_step_says_so_and_lets_the_error_through() -> None:
    reporter, text = plain()
    with pytest.raises(ValueError, match="broken"), reporter.step("engine"):
        raise ValueError("broken")
    assert "FAILED engine" in text.getvalue()


def test_a_failing_command_names_the_log_and_its_last_lines(tmp_path: Path) -> None:
    step = Step(name="image", log=tmp_path / "build.log")
    with pytest.raises(HostError) as caught:
        step.run(["sh", "-c", "seq 1 100; echo no space left; exit 7"])
    assert "left with code 7" in caught.value.message
    assert str(tmp_path / "build.log") in caught.value.message
    assert "no space left" in caught.value.message
    assert "\n    50\n" not in caught.value.message, "only the end of the log is wanted"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    step = Step(name="image", log=tmp_path / "build.log")
    with pytest.raises(HostError, match="'no-such-program' is not there"):
        step.run(["no-such-program"])


def test_commands_of_one_step_share_a_log(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "build.log"
    step = Step(name="image", log=log)
    step.run(["echo", "first"])
    step.run(["cat"], stdin="second")
    assert log.read_text() == "$ echo first\nfirst\n$ cat\nsecond"


def test_tail_of_nothing_explains_itself(tmp_path: Path) -> None:
    assert "no log" in tail(tmp_path / "none")
    (tmp_path / "empty").touch()
    assert "empty" in tail(tmp_path / "empty")
