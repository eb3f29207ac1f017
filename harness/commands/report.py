"""`harness report`: the reports of a recorded run, made again."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.running import out
from harness.report.screenshot import screenshot
from harness.report.summary import print_summary
from harness.report.write import write_reports


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or a trial.")],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to put the HTML report.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--screenshot", metavar="FILE", help="Also a PNG of its top, made by Chromium."
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Size of the screenshot in pixels.")
    ] = "1440x1800",
    theme: Annotated[str, typer.Option(help="Of the screenshot: light or dark.")] = "light",
) -> None:
    """Make report.html, report.json and junit.xml again from a run's folder alone.

    Shows the verdicts as they were recorded; `harness judge` computes them again first.

    Example:

      harness report harness-runs/2026-01-31T03-14-00-a1b2 --open
    """
    page = write_reports(folder, html_file=html)[0]
    if picture is not None:
        screenshot(page, picture, size=size, theme=theme)
    print_summary(out, folder)
    if html is not None:
        out.print(f"  {html}", soft_wrap=True)
    if show:
        webbrowser.open(page.resolve().as_uri())
