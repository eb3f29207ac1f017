"""The table at the end of a run: verdicts, deciding reasons, fields that differ, where to look.

Three layouts, by width; in each the marks and words say what the colours say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from harness.history.run_files import HTML_FILE, JSON_FILE, JUNIT_FILE
from harness.report.describe import outcome_text, reason_text, seconds_text
from harness.report.folder import load_run
from harness.report.model import MARKS, Comparison, Report, Trial

STYLES = {"survived": "bold blue", "failed": "bold red", "inconclusive": "bold yellow"}

_MEDIUM, _WIDE = 110, 160
_FIELDS = 4
_SHOWN_FILES = (HTML_FILE, JSON_FILE, JUNIT_FILE)


def print_summary(console: Console, run_folder: Path) -> None:
    """Print what a run in `run_folder` came to. Raises HistoryError if it is no run."""
    report = load_run(run_folder).report
    for part in summary(report, console.width):
        console.print(part, soft_wrap=False, highlight=False)
    for line in _files(run_folder):
        # Paths are copied from the screen: they may not be broken by us.
        console.print(line, soft_wrap=True, highlight=False)


def summary(report: Report, width: int) -> list[RenderableType]:
    """What is printed, for a console of this width."""
    parts: list[RenderableType] = [Text()]
    if report.trials:
        parts.append(table(report, width))
    if report.not_applicable:
        left_out = Table.grid(padding=(0, 2))
        for n in report.not_applicable:
            left_out.add_row(Text(f"  {n.slug}", no_wrap=width >= _MEDIUM), Text(n.why))
        parts += [Text("Not run:"), left_out]
    parts += [Text(f"Residue: {text}", style="bold red") for text in report.residue]
    verdict = Text(report.headline, style="bold")
    exit_line = Text(f"Exit code {report.run.exit_code}: {report.run.exit_reason}")
    return [*parts, verdict, exit_line]


def table(report: Report, width: int) -> Table:
    """One row for each trial. Under 110 columns scenario, variant and time share a column."""
    comparisons = {c.slug: c for c in report.comparisons}
    made = Table(box=box.HORIZONTALS, show_edge=False, pad_edge=False, show_lines=True)
    if width < _MEDIUM:
        made.add_column("Scenario", min_width=18, max_width=24, overflow="fold")
        made.add_column("Verdict", min_width=14)
        made.add_column("Deciding reason", ratio=1)
    else:
        made.add_column("Scenario", max_width=30, overflow="fold")
        for name in ("Variant", "Verdict", "Outcome"):
            made.add_column(name)
        made.add_column("Deciding reason", ratio=1)
        if width >= _WIDE:
            made.add_column("What differs", ratio=1, overflow="fold")
        made.add_column("Time", justify="right", no_wrap=True)
    for trial in report.trials:
        reason = Text(reason_text(trial))
        fields = _fields(trial, comparisons.get(trial.slug))
        verdict = Text(f"{MARKS[trial.verdict]} {trial.verdict}", style=STYLES[trial.verdict])
        outcome = Text(outcome_text(trial, report.run.judged_by), style=_outcome_style(trial))
        if width < _MEDIUM:
            named = Text.assemble(trial.slug, "\n", (trial.variant, "bold"))
            named.append(f"  {seconds_text(trial.seconds)}", style="dim")
            made.add_row(named, _joined(verdict, outcome), _joined(reason, fields))
            continue
        row = [Text(trial.slug), Text(trial.variant), verdict]
        row.append(outcome)
        row += [reason, fields] if width >= _WIDE else [_joined(reason, fields)]
        made.add_row(*row, Text(seconds_text(trial.seconds)))
    return made


def _outcome_style(trial: Trial) -> str:
    return "" if trial.outcome == "as expected" else "bold"


def _joined(first: Text, second: Text) -> Text:
    return Text.assemble(first, "\n", second) if second.plain else first


def _fields(trial: Trial, comparison: Comparison | None) -> Text:
    """The fields that differ, with this variant's values."""
    if comparison is None or trial.variant not in comparison.variants:
        return Text()
    differences = comparison.differences
    lines = [
        f"{short_path(d.path) or d.object}: {_value(d.values[trial.variant])}"
        for d in differences[:_FIELDS]
    ]
    more = len(differences) - len(lines)
    if more > 0:
        lines.append(f"and {more} more, see report.html")
    return Text("\n".join(lines), style="dim")


def short_path(path: str) -> str:
    """A field path without what every pod template has in front: `livenessProbe.httpGet.path`."""
    rest = path.removeprefix(".spec.template.spec.")
    if rest.startswith("containers["):
        name, _, rest = rest.removeprefix("containers[").partition("]")
        return rest.lstrip(".") or f"container {name}"
    return rest.lstrip(".")


def _value(value: Any) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _files(folder: Path) -> list[Text]:
    lines = [Text(f"Run folder: {folder}")]
    for name in _SHOWN_FILES:
        path = folder / name
        if path.is_file():
            lines.append(Text(f"  {path} ({path.stat().st_size / 1024:.0f} kB)"))
    return lines
