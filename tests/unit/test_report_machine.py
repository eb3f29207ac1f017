"""JUnit and JSON: what CI and scripts read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import orjson
import pytest
from histories import FRAGILE, HARDENED, NOT_FELT, variant_of, write_run

from harness.report import json_report, junit
from harness.report.folder import load_run
from harness.report.model import Report
from harness.report.write import write_reports

DOCS = Path(__file__).parents[2] / "docs"


def document(tmp_path: Path, *stories: object, **facts: object) -> ET.Element:
    folder = write_run(tmp_path / "run", *stories, **facts)  # type: ignore[arg-type]
    return ET.fromstring(junit.render(load_run(folder).report))


def test_a_case_per_variant_as_pytest_names_them(tmp_path: Path) -> None:
    suites = document(tmp_path, FRAGILE, HARDENED)
    cases = suites.findall("testsuite/testcase")
    assert [(c.get("classname"), c.get("name")) for c in cases] == [
        ("liveness-checks-database", "fragile"),
        ("liveness-checks-database", "hardened"),
    ]
    assert [child.tag for case in cases for child in case] == ["system-out", "system-out"]
    assert "3 of 3 replicas restarted by liveness" in (cases[0].findtext("system-out") or "")


def test_wrong_outcomes_fail_and_inconclusive_trials_are_errors(tmp_path: Path) -> None:
    wrong = variant_of(FRAGILE, variant="wrong", expect="survived")
    suites = document(tmp_path, HARDENED, wrong, NOT_FELT)
    suite = suites.find("testsuite")
    assert suite is not None
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
    }
    failure, error = suite.find("testcase/failure"), suite.find("testcase/error")
    assert failure is not None
    assert failure.get("type") == "wrong verdict"
    assert error is not None
    assert error.get("type") == "inconclusive: harness"
    assert "was not felt" in (error.get("message") or "")


def test_a_users_subject_fails_by_verdict(tmp_path: Path) -> None:
    suites = document(tmp_path, FRAGILE, by="verdict", subject={"directory": "shop"})
    failure = suites.find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("type") == "failed"


def test_the_form_is_the_common_one(tmp_path: Path) -> None:
    """The constraints that Jenkins' xunit schema puts on names, attributes, times and order."""
    suites = document(tmp_path, FRAGILE, NOT_FELT)
    assert suites.tag == "testsuites"
    (suite,) = suites
    assert {"name", "tests", "failures", "errors", "time", "timestamp"} <= set(suite.attrib)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
    assert [child.tag for child in suite] == ["properties", "testcase", "testcase"]
    for element in suites.iter():
        if "time" in element.attrib:
            assert re.fullmatch(r"\d+\.\d{3}", element.get("time", ""))
    for case in suite.findall("testcase"):
        assert set(case.attrib) == {"classname", "name", "time"}
        assert {child.tag for child in case} <= {"failure", "error", "system-out"}


def test_characters_that_xml_cannot_hold_are_replaced(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FRAGILE)
    verdict = folder / "liveness-checks-database__fragile" / "verdict.json"
    data = orjson.loads(verdict.read_bytes())
    data["outcome"], data["deciding"] = "wrong reason", "a \x1b[31mred\x1b[0m log & \x00"
    verdict.write_bytes(orjson.dumps(data))
    failure = ET.fromstring(junit.render(load_run(folder).report)).find(".//failure")
    assert failure is not None
    assert failure.get("message") == "a �[31mred�[0m log & �"


def test_the_committed_schema_is_that_of_the_code() -> None:
    committed = (DOCS / "report.schema.json").read_bytes()
    assert committed == json_report.schema(), (
        "write it anew: python -m harness.report.json_report > docs/report.schema.json"
    )


def test_report_json_keeps_to_its_schema_and_reads_back(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FRAGILE, HARDENED, NOT_FELT)
    report = load_run(folder).report
    data = orjson.loads(json_report.render(report))
    jsonschema.validate(data, orjson.loads(json_report.schema()))
    assert data["schema"] == 1
    assert Report.model_validate(data) == report
    del data["trials"][0]["deciding"]
    with pytest.raises(jsonschema.ValidationError, match="deciding"):
        jsonschema.validate(data, orjson.loads(json_report.schema()))


def test_a_run_judged_by_verdict_says_nothing_of_outcomes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", replace(FRAGILE, expect="survived"), by="verdict")
    write_reports(folder)
    for name in ("junit.xml", "report.html"):
        assert "wrong verdict" not in (folder / name).read_text().partition("<script")[0], name
