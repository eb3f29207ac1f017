"""The HTML report: one self-contained file that opens offline and asks nobody for anything.

Templates, styles and script are in `templates/` and `assets/`; here they are filled and inlined.
The page forbids itself every request by a content security policy, so "offline" is enforced by the
browser and not only intended. `assets/report.js` draws the timelines from the embedded JSON.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.history.facts import Json
from harness.report.describe import case_name, outcome_text, reason_text, seconds_text, timings
from harness.report.evidence import evidence
from harness.report.folder import Source, TrialSource
from harness.report.model import MARKS, Comparison, Trial
from harness.report.timeline import timeline

_HERE = Path(__file__).parent


def render(source: Source) -> str:
    """The whole page."""
    report = source.report
    groups: dict[str, list[tuple[int, TrialSource]]] = {}
    for number, trial in enumerate(source.trials):
        groups.setdefault(trial.report.slug, []).append((number, trial))
    sections = [_section(slug, trials, report.comparisons) for slug, trials in groups.items()]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            sections=sections,
            styles=[_asset("uPlot.min.css"), _asset("report.css")],
            scripts=[_asset("uPlot.iife.min.js"), _asset("report.js")],
            licence=_asset("uPlot.LICENSE").splitlines()[2],
        )
    )


def _section(slug: str, trials: list[tuple[int, TrialSource]], known: list[Comparison]) -> Json:
    first = trials[0][1].report
    return {
        "slug": slug,
        "first": first,
        "trials": [
            {
                "number": number,
                "report": t.report,
                "evidence": evidence(t.history, t.zero, [f.what for f in t.report.faults]),
                "data": embed(timeline(t.history, t.report, t.zero)),
            }
            for number, t in trials
        ],
        "comparison": next((c for c in known if c.slug == slug), None),
    }


def embed(data: Json) -> Markup:
    """JSON that may stand in a script element: no `<` in it can end the element."""
    text = orjson.dumps(data).decode().replace("<", "\\u003c")
    return Markup(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        at=at,
        duration=seconds_text,
        percent=percent,
        took=took,
        value=field_value,
        wall=wall,
        facts=facts,
    )
    environment.globals.update(
        marks=MARKS,
        case_name=case_name,
        outcome_text=outcome_text,
        reason_text=reason_text,
        load=load,
        timings=timings,
    )
    return environment


@cache
def _asset(name: str) -> Markup:
    # Our own files and a vendored one: trusted, and they must reach the browser as they are.
    return Markup((_HERE / "assets" / name).read_text(encoding="utf-8"))


def at(seconds: float | None) -> str:
    """`+41.2 s` after the injection, `−8.0 s` before it."""
    if seconds is None:
        return "–"
    sign = "−" if seconds < 0 else "+"
    size = abs(seconds)
    if size < 600:
        return f"{sign}{size:.1f} s"
    return f"{sign}{int(size) // 60}:{int(size) % 60:02d} min"


def percent(share: float | None) -> str:
    """`99.8 %`; never rounded up to 100, never down to 0."""
    if share is None:
        return "–"
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    return f"{min(99.99, max(0.01, share * 100)):.4g} %"


def took(seconds: float | None) -> str:
    """A latency: `14 ms`, `3.05 s`."""
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def field_value(value: Any) -> str:
    """A manifest value as one reads it in YAML; what is not set says so."""
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def wall(seconds: float | None) -> str:
    """Wall time in UTC."""
    if seconds is None:
        return "–"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def facts(data: Json) -> list[tuple[str, str]]:
    """A mapping as rows; nested ones joined by dots, bytes as GiB."""
    rows: list[tuple[str, str]] = []
    for key, value in data.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            rows += [(f"{name} {k}", v) for k, v in facts(value)]
        elif key.endswith("_bytes") and isinstance(value, int | float):
            rows.append((name.removesuffix(" bytes"), f"{value / 2**30:.1f} GiB"))
        elif isinstance(value, bool):
            rows.append((name, "yes" if value else "no"))
        elif key == "git":
            rows.append((name, str(value)[:12]))
        elif value is not None and value != "":
            rows.append(
                (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
            )
    return rows


def load(trial: Trial) -> str:
    """The load in words."""
    rate = trial.load.get("rate")
    words = f"{rate:g} requests/s" if isinstance(rate, int | float) else "the subject's own load"
    if trial.load.get("locustfile"):
        return "the user's locustfile, closed-loop"
    return f"{words}, open-loop"
