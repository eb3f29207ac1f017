"""The HTML report: self-contained, in the right order, safe against what subjects may print."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
from histories import FRAGILE, HARDENED, LONG, SICK, write_run

from harness.report.folder import load_run
from harness.report.html import at, facts, field_value, percent, render
from harness.report.write import write_reports


@pytest.fixture
def page(tmp_path: Path) -> str:
    return render(load_run(write_run(tmp_path / "run", FRAGILE, HARDENED)))


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    assert "default-src 'none'" in page
    tags = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.S)
    assert re.findall(r"""(?:src|href)\s*=\s*["']?(?!#)[^"'\s>]+""", tags) == []
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, flags=re.S))
    assert re.findall(r"@import|url\(", styles) == []


def test_verdict_and_deciding_reason_come_before_any_evidence(page: str) -> None:
    body = page[page.index("<body>") :]
    order = [
        "Both variants behaved as expected: fragile failed and hardened survived",
        "A liveness probe that queries the database",
        "database 3s slower",
        "3 of 3 replicas restarted by liveness, first 41 s after the database slowed",
        "The 2 fields that differ",
        "Timeline",
        "Probe results",
        "The run",
    ]
    places = [body.index(text) for text in order]
    assert places == sorted(places)


def test_every_trial_has_its_data_and_its_place(page: str) -> None:
    data = re.findall(r'<script type="application/json" id="data-(\d+)">(.*?)</script>', page)
    assert [number for number, _ in data] == ["0", "1"]
    fragile, hardened = (orjson.loads(text) for _, text in data)
    assert fragile["restarts"]["workload"][1][-1] == 6
    assert hardened["restarts"]["workload"][1][-1] == 0
    assert re.findall(r'data-trial="(\d)" data-name="(\w+)"', page) == [
        ("0", "fragile"),
        ("1", "hardened"),
    ]


def test_what_a_subject_prints_cannot_become_markup(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FRAGILE)
    history = folder / "liveness-checks-database__fragile" / "history.jsonl"
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    lines = []
    for line in history.read_bytes().splitlines():
        record = orjson.loads(line)
        if record["type"] == "log":
            record["text"] = evil
        if record["type"] == "object" and record["kind"] == "Event":
            (record.get("object") or record["difference"])["message"] = evil
        lines.append(orjson.dumps(record))
    history.write_bytes(b"\n".join(lines) + b"\n")
    page = render(load_run(folder))
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<img" not in page


def test_an_inconclusive_trial_says_whose_fault_it_is(tmp_path: Path) -> None:
    page = render(load_run(write_run(tmp_path / "run", SICK)))
    assert "blame: subject" in page
    assert "before any fault: availability" in page


def test_thirty_minutes_stay_small(tmp_path: Path) -> None:
    page = render(load_run(write_run(tmp_path / "run", LONG)))
    assert len(page.encode()) < 400_000


def test_reports_are_written_into_the_folder(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FRAGILE)
    written = write_reports(folder)
    assert [p.name for p in written] == ["report.html", "report.json", "junit.xml"]
    assert all(p.stat().st_size for p in written)
    elsewhere = tmp_path / "mine.html"
    assert write_reports(folder, html_file=elsewhere)[0] == elsewhere
    assert not list(folder.glob("*.tmp"))


def test_values_read_as_a_person_would_write_them() -> None:
    assert at(41.23) == "+41.2 s"
    assert at(-8) == "−8.0 s"
    assert at(1265) == "+21:05 min"
    assert percent(0.99999) == "99.99 %"
    assert percent(1) == "100 %"
    assert field_value(None) == "not set"
    assert field_value(["a", 1]) == '["a", 1]'
    assert facts({"memory_bytes": 2**30, "git": "a" * 40, "none": None}) == [
        ("memory", "1.0 GiB"),
        ("git", "a" * 12),
    ]
