"""`harness run`: scenarios on a real cluster, judged."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.running import err, out, until_done
from harness.commands.up import ShapeName
from harness.report.console import LiveTrials, print_summary
from harness.report.rounds import print_rounds
from harness.report.write import write_reports
from harness.runs.folder import new_folder
from harness.runs.options import Options
from harness.runs.run import carry_out

VERBOSE = Annotated[bool, typer.Option("--verbose", "-v", help="A line for each phase, too.")]
SUBJECT_HELP = "Folder of your own application with its harness.toml; else the sample subjects."


def run(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO]...", help="Names as in `harness list`; none: all."),
    ] = None,
    subject: Annotated[Path | None, typer.Option(metavar="DIR", help=SUBJECT_HELP)] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this variant; may be given several times."),
    ] = None,
    faithful: Annotated[
        bool, typer.Option(help="Probe timings as declared instead of shortened by one factor.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of everything random; printed if new.")] = None,
    shape: Annotated[
        ShapeName | None,
        typer.Option(help="At least this; with more nodes more variants run side by side."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", "-c", metavar="NAME", help="Cluster to use.")
    ] = None,
    times: Annotated[
        int, typer.Option(min=1, metavar="N", help="So often in a row, each a run of its own.")
    ] = 1,
    verbose: VERBOSE = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The run's folder.")
    ] = None,
) -> None:
    """Put an application through scenarios and judge its configuration.

    Sets up what is missing (engine, cluster, images), runs every variant of every scenario, heals,
    proves the cluster clean, and writes report.html, report.json and junit.xml.

    Shipped scenarios exit by outcome, an application of yours by verdict: 0 as expected / survived,
    1 wrong / failed, 2 usage, 3 inconclusive or residue.

    Examples:

      harness run liveness-checks-database             both variants of one scenario

      harness run                                      everything

      harness run rwo-multi-attach --times 5           is it the same every time?

      harness run --subject ~/shop --faithful          your own application
    """
    options = Options(
        scenarios=scenarios or (),
        variants=variant or (),
        subject=subject,
        faithful=faithful,
        seed=seed,
        shape=shape.value if shape else None,
        cluster=cluster,
        folder=output,
        command=["harness", *sys.argv[1:]],
    )
    raise typer.Exit(
        execute(options, verbose=verbose) if times == 1 else repeat(options, times, verbose=verbose)
    )


def repeat(options: Options, times: int, *, verbose: bool = False) -> int:
    """Run so often, each round in a folder of its own; the worst exit code (3 over 1 over 0).

    Rounds that were over when something ended the last one are told of all the same.
    """
    folder = options.folder or new_folder()
    over: list[Path] = []
    codes: list[int] = []
    try:
        for number in range(1, times + 1):
            err.print(f"\nRound {number} of {times}", style="bold")
            one = replace(options, folder=folder / f"round-{number}")
            codes.append(execute(one, verbose=verbose))
            over.append(folder / f"round-{number}")
    finally:
        if over:
            print_rounds(out, over)
    return max(codes)


def execute(options: Options, *, verbose: bool = False) -> int:
    """Run, report, print; the exit code."""
    with LiveTrials(verbose=verbose) as live:
        end = until_done(carry_out(options, live))
    write_reports(end.folder)
    print_summary(out, end.folder)
    return end.exit_code
