"""What the user sees on the console: plain lines, live rows, the table at three widths."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from histories import FRAGILE, HARDENED, NOT_FELT, write_run
from rich.console import Console
from typer.testing import CliRunner

from harness.cli import build
from harness.history.run_files import RUN_FILE, TRIAL_FILE
from harness.report import console as console_of_trials
from harness.report.console import LiveTrials
from harness.report.describe import reason_text
from harness.report.folder import load_run
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


def job(slug: str, variant: str, seconds: float, *, alone: bool = False) -> Any:
    scenario = SimpleNamespace(slug=slug)
    placement = SimpleNamespace(exclusive=alone)
    each = SimpleNamespace(scenario=scenario, variant=variant, placement=placement)
    return SimpleNamespace(plan=each, seconds=seconds)


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_of_trials, "shares", lambda: 2)


def play(console: Console, *, verbose: bool = False) -> list[str]:
    """Two trials side by side, of which one is tried again; the lines that they leave."""
    clock = Clock()
    with LiveTrials(console, verbose=verbose, clock=clock) as live:
        jobs = [
            job("slow", "fragile", 60),
            job("slow", "hardened", 60),
            job("stuck", "a", 120, alone=True),
        ]
        left_out = [NotApplicable("lost", "A title", "needs role worker")]
        live.planned(jobs, left_out, by_outcome=True)
        live.begin("3fa2", "slow", "fragile")
        live.begin("77b1", "slow", "hardened")
        live.phase("3fa2", "preflight")
        clock.now += 1.25
        live.phase("3fa2", "control")
        clock.now += 58.75
        live.phase("3fa2", "remove")
        live.phase("77b1", "remove")
        clock.now += 10
        live.end("3fa2", End())
        live.end("77b1", End("inconclusive", "inconclusive", "the machine was taken"))
        live.again("slow", "hardened")
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    return output.splitlines()


def test_the_plan_comes_first_and_then_a_line_for_each_trial_with_the_time_left() -> None:
    assert play(Console(file=io.StringIO(), width=80, force_terminal=False)) == [
        "3 trials of 2 scenarios, about 3 min",
        "  slow   fragile, hardened         about 60 s",
        "  stuck  a                         about 2 min, alone",
        "These do not apply:",
        "  lost: needs role worker",
        "[1/3] ✗ failed  slow[fragile]  70 s, as expected; about 2 min left in all",
        "[2/3] ? inconclusive  slow[hardened]  70 s, inconclusive; about 2 min left in all",
        "    the machine was taken",
        "    the host is to blame: it is tried once more, alone",
    ]


def test_who_asks_for_more_gets_a_line_for_each_phase() -> None:
    lines = play(Console(file=io.StringIO(), width=80, force_terminal=False), verbose=True)
    assert [" ".join(line.split()) for line in lines if " s  slow" in line] == [
        "0.0 s slow[fragile] begins (trial 3fa2)",
        "0.0 s slow[hardened] begins (trial 77b1)",
        "0.0 s slow[fragile] preflight",
        "1.2 s slow[fragile] control after 1.2 s of preflight",
        "60.0 s slow[fragile] remove after 58.8 s of control",
        "60.0 s slow[hardened] remove",
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_on_a_terminal_a_row_tells_phase_wait_and_status(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    clock = Clock()
    with LiveTrials(console, clock=clock) as live:
        live.planned([job("slow", "fragile", 60)], [], by_outcome=True)
        live.begin("3fa2", "slow", "fragile")
        live.phase("3fa2", "sustain")
        live.progress("3fa2", 12.4, 33, "felt")
        live.status("3fa2", "98% ok, ready 2/3, 1 restarts")
        clock.now += 34
        plain = Console(file=io.StringIO(), width=width)
        plain.print(live._render())
    text = plain.file.getvalue()  # type: ignore[attr-defined]
    told = ("slow[fragile]", "[0/1] about 40 s left", "sustain", "34 s", "12/33 s felt")
    for part in (*told, "98% ok, ready 2/3, 1 restarts"):
        assert part in text
    assert max(map(len, text.splitlines())) <= width


def test_an_error_in_the_run_leaves_no_live_display_behind() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    live = LiveTrials(console)
    with pytest.raises(RuntimeError, match="cluster is gone"), live:
        live.planned([job("slow", "fragile", 60)], [], by_outcome=True)
        live.begin("3fa2", "slow", "fragile")
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


def test_a_second_attempt_stands_for_the_first_and_says_so(tmp_path: Path) -> None:
    first, second = replace(FRAGILE, variant="first"), replace(FRAGILE, variant="second")
    folder = write_run(tmp_path / "run", first, second)
    trial, run = folder / f"{FRAGILE.slug}__second" / TRIAL_FILE, folder / RUN_FILE
    replaced = {"folder": f"{FRAGILE.slug}__first", "deciding": "the machine was taken"}
    trial.write_bytes(orjson.dumps({**orjson.loads(trial.read_bytes()), "instead_of": replaced}))
    run.write_bytes(orjson.dumps({**orjson.loads(run.read_bytes()), "trials": [trial.parent.name]}))
    (reported,) = load_run(folder).report.trials
    assert reported.variant == "second"
    assert reason_text(reported).endswith("(tried again, alone; at first: the machine was taken)")


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
        live.planned([job("slow", "as-given", 60)], [], by_outcome=False)
        live.begin("3fa2", "slow", "as-given")
        live.end("3fa2", End("failed", "wrong verdict"))
    output: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert "✗ failed  slow[as-given]" in output
    assert "wrong" not in output
