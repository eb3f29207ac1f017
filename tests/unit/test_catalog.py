"""Finding scenarios, what is said of files that are none, and which apply to a subject."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness import Expect, Load
from harness.declare import AS_GIVEN
from harness.errors import UsageError
from harness.manifest.subject_file import SubjectFile, load_subject
from harness.runs import catalog
from harness.runs.catalog import Found

GOOD = """
from harness import Expect, Scenario, faults, objectives
scenario = Scenario(
    title="A slow database",
    source="000",
    subject="checkout",
    faults=[faults.SlowDependency("database", latency="3s")],
    objectives=[
        objectives.restarts("workload", at_most=0),
        objectives.availability(at_least=0.99),
        objectives.recovery(within="readiness + 5s"),
        objectives.latency(at_most="2s"),
    ],
    variants={"fragile": Expect("failed"), "hardened": Expect("survived")},
)
"""
TOML = """
[subject]
manifests = "deploy/"
[roles]
entry = "Service/web:80"
workload = "Deployment/web"
database = "Service/db:5432"
"""


def write(folder: Path, slug: str, text: str) -> Path:
    (folder / slug).mkdir(parents=True)
    (folder / slug / "scenario.py").write_text(text)
    return folder / slug


def subject(folder: Path, text: str = TOML) -> SubjectFile:
    (folder / "deploy").mkdir(parents=True)
    (folder / "harness.toml").write_text(text)
    return load_subject(folder)


def found(folder: Path) -> Found:
    return catalog.load_scenario(write(folder, "slow", GOOD))


def test_shipped_scenarios_are_found_with_a_component_for_every_variant() -> None:
    shipped = catalog.discover()
    assert "liveness-checks-database" in [each.slug for each in shipped]
    for each in shipped:
        assert (each.folder / "README.md").is_file()
        for variant in each.scenario.variants:
            assert each.component(variant) is not None, f"{each.slug}: {variant}"


def test_slug_is_the_folder_s_name_and_folders_without_a_scenario_are_passed_over(
    tmp_path: Path,
) -> None:
    write(tmp_path, "b", GOOD)
    write(tmp_path, "a", GOOD)
    (tmp_path / "notes").mkdir()
    assert [each.slug for each in catalog.discover(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("scenario = (", "SyntaxError"),
        ("scenario = 3", "defines no `scenario`"),
        ("x = 1", "defines no `scenario`"),
        (GOOD.replace('"3s"', '"soon"'), '"soon" is no duration'),
        (GOOD.replace('"survived"', '"fine"'), "cannot be expected to be 'fine'"),
    ],
)
def test_file_that_is_no_scenario(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.load_scenario(write(tmp_path, "x", text))
    assert "scenario.py" in caught.value.message
    assert message in caught.value.message
    assert caught.value.remedy


def test_folder_without_a_scenario(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        catalog.load_scenario(tmp_path)


def test_choosing_by_name(tmp_path: Path) -> None:
    each = found(tmp_path)
    assert catalog.choose([each], []) == [each]
    assert catalog.choose([each], ["slow"]) == [each]
    with pytest.raises(UsageError, match=r"no scenario 'slwo'.*slow") as caught:
        catalog.choose([each], ["slwo"])
    assert "harness list" in caught.value.remedy


def test_unknown_sample_subject_names_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="no sample subject 'shop'") as caught:
        catalog.sample_subject("shop")
    assert "checkout" in caught.value.remedy


def test_scenario_applies_if_every_role_is_bound(tmp_path: Path) -> None:
    each = found(tmp_path / "scenarios")
    assert catalog.required_roles(each.scenario) == ["entry", "database", "workload"]
    assert catalog.applicable(each, subject(tmp_path / "shop")) is None


def test_scenario_that_does_not_apply_says_which_role_is_missing(tmp_path: Path) -> None:
    each = found(tmp_path / "scenarios")
    without = TOML.replace('database = "Service/db:5432"\n', "")
    why = catalog.applicable(each, subject(tmp_path / "shop", without))
    assert why is not None
    assert (why.slug, why.title) == ("slow", "A slow database")
    assert "needs role database" in why.why
    assert "shop/harness.toml" in why.why


def test_with_the_manifests_at_hand_the_faults_are_asked_too(tmp_path: Path) -> None:
    each, own = found(tmp_path / "scenarios"), subject(tmp_path / "shop")
    database = {"selector": {"app": "db"}, "ports": [{"port": 5432}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": database}
    assert catalog.applicable(each, own, [service]) is None
    headless = {**service, "spec": {**database, "clusterIP": "None"}}
    why = catalog.applicable(each, own, [headless])
    assert why is not None
    assert why.why.startswith("database 3s slower: Service/db is headless")


def test_user_s_subject_runs_as_given_under_its_own_bounds(tmp_path: Path) -> None:
    own = '\n[objectives]\navailability = 0.9\nrestarts = 2\nrecovery = "20s"\np99 = 1.5\n'
    theirs = catalog.for_subject(
        found(tmp_path / "scenarios").scenario, subject(tmp_path / "shop", TOML + own)
    )
    assert theirs.variants == {AS_GIVEN: Expect("survived")}
    assert [o.to_json() for o in theirs.objectives] == [
        {"name": "restarts", "role": "workload", "at_most": 2},
        {"name": "availability", "at_least": 0.9},
        {"name": "recovery", "within": "20s"},
        {"name": "latency", "at_most": "1.5s"},
    ]


def test_user_s_subject_without_bounds_keeps_those_of_the_scenario(tmp_path: Path) -> None:
    each = found(tmp_path / "scenarios")
    theirs = catalog.for_subject(each.scenario, subject(tmp_path / "shop"))
    assert theirs.objectives == each.scenario.objectives


def test_user_s_subject_is_put_under_its_own_load(tmp_path: Path) -> None:
    scenario = found(tmp_path / "scenarios").scenario
    shipped = dataclasses.replace(scenario, load=Load(rate=40, endpoints={"GET /x": 1}))
    text = TOML + '\n[load]\nrate = 7\ntimeout = "2500ms"\n'
    assert catalog.for_subject(shipped, subject(tmp_path / "a", text)).load == Load(
        rate=7, timeout="2.5s"
    )
    assert catalog.for_subject(shipped, subject(tmp_path / "b")).load == Load(rate=40)


def test_user_s_own_variants_are_expected_to_survive(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    component = shop / "variants" / "tuned"
    component.mkdir(parents=True)
    (component / "kustomization.yaml").write_text("kind: Component\n")
    (shop / "variants" / "notes").mkdir()
    text = TOML.replace('"deploy/"\n', '"deploy/"\nvariants = "variants/"\n')
    theirs = catalog.for_subject(found(tmp_path / "s").scenario, subject(shop, text))
    assert dict(theirs.variants) == {AS_GIVEN: Expect("survived"), "tuned": Expect("survived")}
