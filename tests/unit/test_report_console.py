"""What the user sees on the console: plain lines, live rows, the table at three widths."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from histories import FRAGILE, HARDENED, NOT_FELT, write_run
from rich.console import Console
from typer.testing import CliRunner

from harness.cli import build
from harness.report.console import LiveTrials
from harness.report.model import Outcome, Verdict
from harness.report.rounds import print_rounds
from harness.report.screenshot import screenshot
from harness.report.summary import print_summary, short_path
from harness.runs.fitting import NotApplicable


@dataclass
class End:
    verdict: Verdict = "failed"
    outcome: Outcome = "as expected"
    deciding: str = "3 of 3 replicas restarted by liveness"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def play(console: Console) -> None:
    clock = Clock()
    with LiveTrials(console, clock=clock) as live:
        live.begin("3fa2", "A slow database", "fragile")
        live.begin("77b1", "A slow database", "hardened")
        live.phase("3fa2", "preflight")
        clock.now += 1.25
        live.phase("3fa2", "control")
        live.phase("77b1", "preflight")
        clock.now += 8
        live.phase("3fa2", "sustain")
        live.progress("3fa2", 12.4, 33, "felt")
        live.status("3fa2", "98% ok, ready 2/3, 1 restarts")
        clock.now += 30
        live.end("3fa2", End())
        live.end("77b1", End("survived", "as expected", "0 restarts of workload"))


def test_what_applies_is_said_before_anything_starts() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    left_out = [NotApplicable("stuck-volume", "A title", "needs role worker")]
    with LiveTrials(console) as live:
        live.chosen({"slow": ["as-given", "tuned"]}, left_out)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "These scenarios apply:",
        "  slow: as-given, tuned",
        "These do not:",
        "  stuck-volume: needs role worker",
    ]


def test_without_a_terminal_each_phase_is_one_plain_line() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    play(console)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert output.splitlines() == [
        "A slow database",
        "     0.0 s  fragile      begins (trial 3fa2)",
        "     0.0 s  hardened     begins (trial 77b1)",
        "     0.0 s  fragile      preflight",
        "     1.2 s  fragile      control     after 1.2 s of preflight",
        "     1.2 s  hardened     preflight",
        "     9.2 s  fragile      sustain     after 8.0 s of control",
        "  ✗ failed  fragile  39 s  (as expected)",
        "    3 of 3 replicas restarted by liveness",
        "  ✓ survived  hardened  39 s  (as expected)",
        "    0 restarts of workload",
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_on_a_terminal_a_row_tells_phase_wait_and_status(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    clock = Clock()
    with LiveTrials(console, clock=clock) as live:
        live.begin("3fa2", "A slow database", "fragile")
        live.phase("3fa2", "sustain")
        live.progress("3fa2", 12.4, 33, "felt")
        live.status("3fa2", "98% ok, ready 2/3, 1 restarts")
        clock.now += 34
        plain = Console(file=io.StringIO(), width=width)
        plain.print(live._render())
    text = plain.file.getvalue()  # type: ignore[attr-defined]
    for part in ("fragile", "sustain", "34 s", "12/33 s felt", "98% ok, ready 2/3, 1 restarts"):
        assert part in text
    assert max(map(len, text.splitlines())) <= width


def test_an_error_in_the_run_leaves_no_live_display_behind() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    live = LiveTrials(console)
    with pytest.raises(RuntimeError, match="cluster is gone"), live:
        live.begin("3fa2", "A slow database", "fragile")
        raise RuntimeError("the cluster is gone")
    assert live._live is None


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_says_everything_at_any_width(tmp_path: Path, width: int) -> None:
    folder = write_run(
        tmp_path / "run",
        FRAGILE,
        HARDENED,
        NOT_FELT,
        not_applicable=[{"slug": "rwo-multi-attach", "title": "", "why": "role volume: not bound"}],
        residue=["Namespace/prod-checkout-77b1 is still there"],
    )
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_summary(console, folder)
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    table = output.partition("Run folder")[0]
    assert max(map(len, table.splitlines())) <= width
    words = " ".join(re_joined(table))
    for part in (
        "✗ failed",
        "✓ survived",
        "? inconclusive",
        "blame: harness",
        "as expected",
        "liveness-checks-database",
        "not-felt",
        "/healthz/live",
        "role volume: not bound",
        "Residue: Namespace/prod-checkout-77b1 is still there",
        "Exit code 3: something that a trial made is still there after healing",
    ):
        assert part in words, part
    assert str(folder) in output.replace("\n", "")


@pytest.mark.parametrize("width", [80, 120])
def test_rounds_are_counted_and_the_odd_one_is_told(tmp_path: Path, width: int) -> None:
    unfelt = replace(HARDENED, felt=False)
    folders = [
        write_run(tmp_path / f"round-{number}", FRAGILE, hardened)
        for number, hardened in enumerate((HARDENED, unfelt, HARDENED), start=1)
    ]
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_rounds(console, folders)
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    table, _, where = output.partition("Round 1: ")
    assert max(map(len, table.splitlines())) <= width
    words = " ".join(re_joined(table))
    for part in ("Of 3 rounds", "failed 3", "survived 2", "inconclusive 1", "none"):
        assert part in words, part
    assert "round 2: inconclusive" in words
    assert "round 1:" not in words
    assert str(folders[2]) in where.replace("\n", "")


def re_joined(text: str) -> list[str]:
    """Lines with runs of blanks closed, so that a phrase in one cell is found."""
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_deciding_reason_wraps_inside_its_column(tmp_path: Path, width: int) -> None:
    folder = write_run(tmp_path / "run", FRAGILE)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_summary(console, folder)
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    header = next(line for line in output.splitlines() if "Deciding reason" in line)
    column = header.index("Deciding reason")
    # Times stand at the right of their column.
    end = header.index("Time") - len("2 min ") if "Time" in header else width
    if "What differs" in header:
        end = header.index("What differs")
    cells = " ".join(line[column:end].strip() for line in output.splitlines())
    assert (
        "3 of 3 replicas restarted by liveness, first 41 s after the database slowed; "
        "ready 0 of 3 at 63 s" in " ".join(cells.split())
    )


def test_paths_lose_what_every_pod_template_has_in_front() -> None:
    spec = ".spec.template.spec"
    assert short_path(f"{spec}.containers[api].livenessProbe.httpGet.path") == (
        "livenessProbe.httpGet.path"
    )
    assert short_path(f"{spec}.terminationGracePeriodSeconds") == "terminationGracePeriodSeconds"
    assert short_path(f"{spec}.containers[api]") == "container api"
    assert short_path(".spec.replicas") == "spec.replicas"


def test_the_command_makes_the_reports_from_the_folder_alone(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FRAGILE, HARDENED)
    page = tmp_path / "page.html"
    done = CliRunner().invoke(build(["report"]), ["report", str(folder), "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert page.is_file()
    assert (folder / "junit.xml").is_file()
    assert (folder / "report.json").is_file()


def test_a_screenshot_of_no_size_is_refused(tmp_path: Path) -> None:
    from harness.errors import UsageError

    with pytest.raises(UsageError, match="is no size"):
        screenshot(tmp_path / "report.html", tmp_path / "a.png", size="big")


def test_an_application_of_ones_own_is_told_its_verdict_and_no_outcome() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    with LiveTrials(console) as live:
        live.chosen({"slow": ["as-given"]}, [])
        live.begin("3fa2", "A slow database", "as-given")
        live.end("3fa2", End("failed", "wrong verdict"))
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert "✗ failed  as-given" in output
    assert "wrong" not in output
