"""`harness judge`: the verdicts of a recorded run, computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.running import out
from harness.report.console import print_summary
from harness.report.write import write_reports
from harness.runs.rejudge import rejudge


def judge(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or a trial.")],
) -> None:
    """Compute verdicts and outcomes again from a run's folder alone.

    Needs no cluster, and none of the Python that declared the scenarios: the folder holds the
    resolved scenario and the whole history. Exits as the run did, by what is found now.

    Example:

      harness judge harness-runs/2026-01-31T03-14-00-a1b2
    """
    code = rejudge(folder)
    write_reports(folder)
    print_summary(out, folder)
    raise typer.Exit(code)
