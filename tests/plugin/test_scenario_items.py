"""Scenarios as test items: what is collected, and how a trial's end becomes a test's."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import orjson
import pytest

from harness import paths
from harness.runs import catalog


def run_json(inner: Any) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((inner.pytester.path / "out" / "run.json").read_bytes())
    return found


# -- collection -------------------------------------------------------------------------------


def test_collecting_needs_no_cluster(inner: Any) -> None:
    result = inner.run(
        str(paths.data("scenarios")), "--collect-only", "-q", "-k", "liveness-checks"
    )
    result.stdout.fnmatch_lines(
        [
            "*::liveness-checks-database?fragile?",
            "*::liveness-checks-database?hardened?",
        ]
    )
    assert result.ret == 0
    assert not inner.home.exists()


def test_a_file_named_on_the_command_line_is_no_module(inner: Any) -> None:
    file = inner.scenario / "scenario.py"
    result = inner.run(str(file), "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*2 tests collected*"])


def test_a_scenario_that_cannot_be_run_is_a_collection_error(inner: Any) -> None:
    folder = inner.pytester.mkdir("broken")
    (folder / "scenario.py").write_text("from harness import Scenari\n")
    other = inner.pytester.mkdir("empty")
    (other / "scenario.py").write_text("x = 1\n")
    result = inner.run("broken", "empty")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "*cannot be run: ImportError: cannot import name 'Scenari'*",
            "*remedy: correct the file; it is ordinary Python",
            "*defines no `scenario`",
            "*remedy: define scenario = Scenario*",
        ]
    )


def test_a_declaration_that_proves_nothing_is_a_collection_error(inner: Any) -> None:
    folder = inner.pytester.mkdir("vain")
    (folder / "scenario.py").write_text(
        "from harness import Expect, Scenario, objectives\n"
        "scenario = Scenario(title='t', source='s', subject='checkout', faults=[],\n"
        "    objectives=[objectives.restarts('workload')], variants={'a': Expect('survived')})\n"
    )
    result = inner.run("vain")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*declares no fault", "*remedy: *declare at least one"])


def test_with_a_subject_only_what_applies_is_collected(inner: Any) -> None:
    """By its roles (no worker), by what faults can do to it (no start that can be delayed), and by
    whether anything but the sample is meant."""
    shop = Path(__file__).parents[1] / "foreign" / "shop"
    scenarios = str(paths.data("scenarios"))
    result = inner.run(scenarios, f"--harness-subject={shop}", "--collect-only", "-q")
    collected = {line.rpartition("::")[2] for line in result.outlines if "::" in line}
    left_out = {
        "capabilities-not-dropped",
        "crash-loop-exit-0",
        "crash-loop-exit-1",
        "node-loss-default-tolerations",
        "oom-heap-preallocation",
        "resource-quota-exceeded",
        "resource-quota-requires-limits",
        "rwo-multi-attach",
        "slow-start-beyond-budget",
        "slow-start-without-startup-probe",
    }
    apply = {each.slug for each in catalog.discover()} - left_out
    assert collected == {f"{slug}[{v}]" for slug in apply for v in ("as-given", "fragile")}


def test_a_subject_with_a_wrong_field_is_a_collection_error(inner: Any) -> None:
    shop = inner.pytester.mkdir("shop")
    (shop / "harness.toml").write_text(
        '[subject]\nmanifests = "web.yaml"\n[roles]\nentry = "Service/web:80"\n'
    )
    (shop / "web.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {prots: [{port: 80}]}\n"
    )
    scenario = str(paths.data("scenarios") / "liveness-checks-database")
    result = inner.run(scenario, "--harness-subject=shop", "--collect-only")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*prots*", "*remedy: *"])


# -- how a trial's end becomes a test's ---------------------------------------------------------


def test_as_expected_passes_and_leaves_a_run_with_reports(inner: Any) -> None:
    result = inner.stories(fragile="collapses", hardened="survives")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["seed: *", "histories: */out", "report: */out/report.html"])
    run = run_json(inner)
    assert run["exit_code"] == 0
    assert sorted(run["trials"]) == [
        "liveness-checks-database__fragile",
        "liveness-checks-database__hardened",
    ]
    assert run["command"][0] == "pytest"
    for report in ("report.html", "report.json", "junit.xml"):
        assert (inner.pytester.path / "out" / report).stat().st_size


def test_inconclusive_is_an_error_that_names_who_is_to_blame(inner: Any) -> None:
    result = inner.stories(fragile="collapses", hardened="starved")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "Inconclusive: the load generator fell behind: *",
            "  to blame: host",
            "  remedy: give this machine less to do*",
            "*Captured resilience harness setup*",
            "*phases: preflight *",
            "*history: */liveness-checks-database__hardened",
            "ERROR *liveness-checks-database?hardened?*",
        ]
    )
    assert run_json(inner)["exit_code"] == 3


def test_wrong_verdict_is_a_failure(inner: Any) -> None:
    result = inner.stories(fragile="collapses", hardened="collapses")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "WrongOutcome: wrong verdict: 3 of 3 replicas restarted*(expected: survived)",
            "*Captured resilience harness call*",
            "*broken: at most 0 restarts of workload: 3 of 3 replicas restarted*",
            "*ready by time: *",
            "FAILED *liveness-checks-database?hardened?*",
        ]
    )
    assert run_json(inner)["exit_code"] == 1


def test_wrong_reason_is_a_failure_that_says_what_was_not_shown(inner: Any) -> None:
    result = inner.stories(fragile="collapses-late", hardened="survives")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["WrongOutcome: wrong reason: did not show *", "*NOT shown: *"])


def test_residue_is_an_error_and_keeps_the_verdict(inner: Any) -> None:
    result = inner.stories(
        "-k", "hardened", residue="left over: Namespace/shop-abc123", hardened="survives"
    )
    result.assert_outcomes(errors=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "Inconclusive: survived, but left behind: left over: Namespace/shop-abc123",
            "  remedy: run `harness heal`*",
        ]
    )
    assert run_json(inner)["exit_code"] == 3


def test_junit_tells_errors_from_failures_and_carries_the_verdict(inner: Any) -> None:
    inner.stories("--junitxml=junit.xml", fragile="survives", hardened="not-felt")
    cases = {
        case.attrib["name"]: case
        for case in ET.parse(inner.pytester.path / "junit.xml").iter("testcase")
    }
    fragile = cases["liveness-checks-database[fragile]"]
    hardened = cases["liveness-checks-database[hardened]"]
    assert fragile.find("failure") is not None
    assert fragile.find("error") is None
    assert hardened.find("error") is not None
    assert hardened.find("failure") is None
    properties = {p.attrib["name"]: p.attrib["value"] for p in fragile.iter("property")}
    assert properties == {"verdict": "survived", "outcome": "wrong verdict", "seconds": "12.3"}
    properties = {p.attrib["name"]: p.attrib["value"] for p in hardened.iter("property")}
    assert properties["verdict"] == properties["outcome"] == "inconclusive"


# -- as everyone expects ------------------------------------------------------------------------


def test_k_runs_only_what_is_asked(inner: Any) -> None:
    result = inner.stories("-k", "fragile", fragile="collapses")
    result.assert_outcomes(passed=1, deselected=1)
    assert run_json(inner)["trials"] == ["liveness-checks-database__fragile"]


def test_x_stops_at_the_first_wrong_outcome(inner: Any) -> None:
    result = inner.stories("-x", fragile="survives", hardened="survives")
    result.assert_outcomes(failed=1)
    assert run_json(inner)["trials"] == ["liveness-checks-database__fragile"]


def test_lf_runs_what_failed_last(inner: Any) -> None:
    inner.stories(fragile="survives", hardened="survives").assert_outcomes(failed=1, passed=1)
    again = inner.stories("--lf", "--harness-output=again", fragile="collapses")
    again.assert_outcomes(passed=1)
    again.stdout.fnmatch_lines(["run-last-failure: rerun previous 1 failure"])


def test_variants_get_one_seed(inner: Any) -> None:
    inner.stories(fragile="collapses", hardened="survives")
    seeds = {
        orjson.loads(path.read_bytes())["seed"]
        for path in (inner.pytester.path / "out").glob("*/trial.json")
    }
    assert len(seeds) == 1
    assert run_json(inner)["seed"] in seeds


def test_xdist_workers_share_folder_and_seed(inner: Any) -> None:
    inner.monkeypatch.setenv("HARNESS_STORIES", "fragile=collapses hardened=survives")
    result = inner.pytester.runpytest_subprocess(
        *inner.settings, "-n2", "-precorded", str(inner.scenario), "--harness-output=out"
    )
    result.assert_outcomes(passed=2)
    run = run_json(inner)
    assert len(run["trials"]) == 2
    assert (inner.pytester.path / "out" / "report.html").is_file()
    trials = list((inner.pytester.path / "out").glob("*/trial.json"))
    assert {orjson.loads(p.read_bytes())["seed"] for p in trials} == {run["seed"]}


def test_a_session_without_trials_leaves_no_run(inner: Any, tmp_path: Path) -> None:
    inner.test_file("def test_plain(): pass\n")
    result = inner.run("test_inner.py")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*resilience harness =*")
    assert not (inner.pytester.path / "harness-runs").exists()


# -- options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message", "remedy"),
    [
        (["--harness-subject=no"], "no has no harness.toml", "harness init no"),
        (["--harness-cluster=No_Name"], "'No_Name' cannot be a cluster's name", ""),
        (["--harness-output=taken"], "is there already and not an empty folder", "does not exist"),
        (["--harness-seed=-1"], "-1 is out of range", "from 0 to"),
    ],
)
def test_options_are_refused_before_anything_starts(
    inner: Any, args: list[str], message: str, remedy: str
) -> None:
    (inner.pytester.mkdir("taken") / "run.json").write_text("{}")
    result = inner.run(str(inner.scenario), *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str()
    assert message in text
    assert "remedy: " in text
    assert remedy in text


def test_a_shape_that_is_none_is_refused(inner: Any) -> None:
    result = inner.run(str(inner.scenario), "--harness-shape=round")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*invalid choice: 'round'*single*"])
