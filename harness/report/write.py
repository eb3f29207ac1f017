"""Writes every report of a run into its folder: report.html, report.json, junit.xml.

A report is made from the folder alone and may be made again at any time.
"""

from __future__ import annotations

from pathlib import Path

from harness.history.run_files import HTML_FILE, JSON_FILE, JUNIT_FILE
from harness.host.files import write_whole
from harness.report import html, json_report, junit
from harness.report.folder import load_run


def write_reports(run_folder: Path, *, html_file: Path | None = None) -> list[Path]:
    """Write the three files and return their paths, the HTML report first.

    `html_file` puts the HTML report elsewhere. Raises HistoryError if the folder is no run.
    """
    source = load_run(run_folder)
    contents = {
        html_file or run_folder / HTML_FILE: html.render(source).encode(),
        run_folder / JSON_FILE: json_report.render(source.report),
        run_folder / JUNIT_FILE: junit.render(source.report),
    }
    for path, content in contents.items():
        write_whole(path, content)
    return list(contents)
