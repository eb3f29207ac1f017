"""`junit.xml`: one test case per scenario[variant], in the form that Jenkins and GitLab read.

A wrong outcome (of a user's subject: a failed verdict) is a failure, an inconclusive trial an
error, like in `pytest scenarios`. The standard library's writer is enough for a document of four
elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from harness.report.describe import reason_text
from harness.report.model import Judged, Report, Trial

# What XML 1.0 cannot hold, not even escaped; a container's log may hold anything.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> bytes:
    """The document; times in seconds, the time stamp in UTC without a zone, as xunit2 has it."""
    judged_by = report.run.judged_by
    cases = [_case(trial, judged_by) for trial in report.trials]
    totals = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "time": _seconds(report.run.seconds or sum(t.seconds or 0 for t in report.trials)),
    }
    suites = ET.Element("testsuites", {"name": "resilience-harness", **totals})
    suite = ET.SubElement(
        suites, "testsuite", {"name": "resilience-harness", **totals, "skipped": "0"}
    )
    if report.run.started is not None:
        moment = datetime.fromtimestamp(report.run.started, UTC)
        suite.set("timestamp", moment.strftime("%Y-%m-%dT%H:%M:%S"))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    suite.extend(cases)
    ET.indent(suites)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    yield "run", report.run.id
    yield "judged by", report.run.judged_by
    yield "exit code", f"{report.run.exit_code}: {report.run.exit_reason}"
    if report.run.seed is not None:
        yield "seed", str(report.run.seed)
    for name, value in report.run.versions.items():
        yield name, str(value)


def _case(trial: Trial, judged_by: Judged) -> ET.Element:
    case = ET.Element(
        "testcase",
        {"classname": trial.slug, "name": trial.variant, "time": _seconds(trial.seconds or 0)},
    )
    deciding = _clean(trial.deciding)
    wrong = trial.outcome != "as expected" if judged_by == "outcome" else trial.verdict == "failed"
    if trial.verdict == "inconclusive":
        kind = f"inconclusive: {trial.blame}" if trial.blame else "inconclusive"
        ET.SubElement(case, "error", {"type": kind, "message": deciding}).text = _story(
            trial, judged_by
        )
    elif wrong:
        kind = trial.outcome if judged_by == "outcome" else trial.verdict
        ET.SubElement(case, "failure", {"type": kind, "message": deciding}).text = _story(
            trial, judged_by
        )
    ET.SubElement(case, "system-out").text = _story(trial, judged_by)
    return case


def _story(trial: Trial, judged_by: Judged) -> str:
    """Verdict, reasons, objectives and what was shown, one a line."""
    told: str = trial.verdict
    if judged_by == "outcome":
        told += f", {trial.outcome}" + (f" (expected: {trial.expected})" if trial.expected else "")
    lines = [f"{told}: {reason_text(trial)}"]
    lines += [f"{o.state}: {o.what}: {o.reason}" for o in trial.objectives]
    lines += [f"{'shown' if s.seen else 'not shown'}: {s.what}" for s in trial.shows]
    lines += [f"reason: {reason}" for reason in trial.reasons]
    lines.append(f"folder: {trial.folder}")
    return _clean("\n".join(lines))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def _seconds(value: float) -> str:
    return f"{value:.3f}"
