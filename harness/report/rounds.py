"""What the same trials came to, several times in a row: one line for each variant.

A verdict that comes out differently from one round to the next is the finding here, so every odd
round is named with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.describe import outcome_text, reason_text
from harness.report.folder import load_run
from harness.report.model import Judged, Trial
from harness.report.summary import STYLES


def print_rounds(console: Console, folders: Sequence[Path]) -> None:
    """Print the table of several runs of the same scenarios, in their order."""
    reports = [load_run(folder).report for folder in folders]
    trials: dict[tuple[str, str], list[tuple[int, Trial]]] = {}
    for number, report in enumerate(reports, start=1):
        for trial in report.trials:
            trials.setdefault((trial.slug, trial.variant), []).append((number, trial))
    made = Table(box=box.HORIZONTALS, show_edge=False, pad_edge=False, show_lines=True)
    made.add_column(f"Of {len(folders)} rounds", max_width=30, overflow="fold")
    made.add_column("Verdicts")
    made.add_column("Seconds", no_wrap=True)
    made.add_column("Odd rounds", ratio=1)
    for (slug, variant), rounds in trials.items():
        each = [trial for _, trial in rounds]
        name = Text.assemble(slug, "\n", (variant, "bold"))
        made.add_row(name, _verdicts(each), _seconds(each), _odd(rounds, reports[0].run.judged_by))
    console.print()
    console.print(made, soft_wrap=False, highlight=False)
    for number, folder in enumerate(folders, start=1):
        console.print(f"Round {number}: {folder}", soft_wrap=True, highlight=False)


def _verdicts(trials: Sequence[Trial]) -> Text:
    counted = Counter(trial.verdict for trial in trials).most_common()
    return Text("\n").join(
        Text(f"{verdict} {count}", style=STYLES[verdict]) for verdict, count in counted
    )


def _seconds(trials: Iterable[Trial]) -> str:
    known = sorted(trial.seconds for trial in trials if trial.seconds is not None)
    return f"{known[0]:.0f} to {known[-1]:.0f}" if known else "-"


def _odd(rounds: Sequence[tuple[int, Trial]], judged_by: Judged) -> Text:
    """The rounds that were not as expected; of a subject of one's own, not as most rounds."""
    usual = Counter(trial.verdict for _, trial in rounds).most_common(1)[0][0]
    lines = []
    for number, trial in rounds:
        if trial.outcome == "as expected" if judged_by == "outcome" else trial.verdict == usual:
            continue
        said = outcome_text(trial, judged_by)
        verdict = f"{trial.verdict} ({said})" if said else trial.verdict
        lines.append(f"round {number}: {verdict}: {reason_text(trial)}")
    return Text("\n".join(lines) or "none")
