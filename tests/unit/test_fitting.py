"""Which shipped scenarios apply to a user's application, and what is asked of it in them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness import Expect, Load, Scenario, faults, objectives
from harness.declare import AS_GIVEN
from harness.history.facts import Json
from harness.manifest.subject_file import SubjectFile
from harness.manifest.subject_reading import load_subject
from harness.runs import catalog, fitting
from harness.runs.catalog import Found
from harness.runs.fitting import NotApplicable

SLOW = Scenario(
    slug="slow",
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
TOML = """
[subject]
manifests = "deploy/"
[roles]
entry = "Service/web:80"
workload = "Deployment/web"
worker = "Deployment/worker"
database = "Service/db:5432"
"""


def subject(folder: Path, text: str = TOML) -> SubjectFile:
    (folder / "deploy").mkdir(parents=True)
    (folder / "harness.toml").write_text(text)
    return load_subject(folder)


def asked(own: SubjectFile, scenario: Scenario = SLOW) -> list[Json]:
    return [each.to_json() for each in fitting.for_subject(scenario, own).objectives]


def fit(scenario: Scenario, own: SubjectFile, *objects: Json) -> Found | NotApplicable:
    return fitting.fit(Found(scenario, Path()), own, list(objects) if objects else None)


def why_not(scenario: Scenario, own: SubjectFile, *objects: Json) -> str:
    left_out = fit(scenario, own, *objects)
    assert isinstance(left_out, NotApplicable)
    assert (left_out.slug, left_out.title) == (scenario.slug, scenario.title)
    return left_out.why


# -- which apply ------------------------------------------------------------------------------


def test_scenario_applies_if_every_role_is_bound(tmp_path: Path) -> None:
    assert fitting.required_roles(SLOW) == ["entry", "database", "workload"]
    fitted = fit(SLOW, subject(tmp_path))
    assert isinstance(fitted, Found)
    assert fitted.scenario.variants == {AS_GIVEN: Expect("survived")}


def test_scenario_that_does_not_apply_says_which_role_is_missing(tmp_path: Path) -> None:
    without = TOML.replace('database = "Service/db:5432"\n', "")
    why = why_not(SLOW, subject(tmp_path / "shop", without))
    assert why == "needs role database, which shop/harness.toml does not bind"


def test_with_the_manifests_at_hand_the_faults_are_asked_too(tmp_path: Path) -> None:
    own = subject(tmp_path)
    database = {"selector": {"app": "db"}, "ports": [{"port": 5432}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": database}
    assert isinstance(fit(SLOW, own, service), Found)
    assert [
        each.startswith("database 3s slower: nothing in the manifests")
        for each in fitting.doubts(SLOW, own, [service])
    ] == [True]
    headless = {**service, "spec": {**database, "clusterIP": "None"}}
    assert why_not(SLOW, own, headless).startswith("database 3s slower: Service/db is headless")


def test_where_a_cure_ends_nobody_is_expected_to_survive(tmp_path: Path) -> None:
    boundary = dataclasses.replace(SLOW, variants={"hardened": Expect("failed")})
    assert "no configuration is expected to survive it" in why_not(boundary, subject(tmp_path))


def test_the_shipped_boundary_is_the_only_scenario_without_a_promise(tmp_path: Path) -> None:
    own = subject(tmp_path)
    fitted = [fitting.fit(each, own) for each in catalog.discover()]
    left_out = {each.slug: each.why for each in fitted if isinstance(each, NotApplicable)}
    # What is written for the sample's own objects has nothing to do with anybody else's.
    out = [slug for slug, why in left_out.items() if not why.startswith("brings objects")]
    assert out == ["slow-start-beyond-budget"]


# -- what is asked ----------------------------------------------------------------------------


def test_the_user_s_bounds_replace_those_of_the_scenario(tmp_path: Path) -> None:
    own = '\n[objectives]\navailability = 0.9\nrestarts = 2\nrecovery = "20s"\np99 = 1.5\n'
    assert asked(subject(tmp_path, TOML + own)) == [
        {"name": "restarts", "role": "workload", "at_most": 2},
        {"name": "availability", "at_least": 0.9},
        {"name": "recovery", "within": "20s"},
        {"name": "latency", "at_most": "1.5s"},
    ]


def test_without_bounds_those_of_the_scenario_are_kept(tmp_path: Path) -> None:
    assert fitting.for_subject(SLOW, subject(tmp_path)).objectives == SLOW.objectives


def test_another_stretch_is_another_question(tmp_path: Path) -> None:
    own = '[objectives]\navailability = { at_least = 0.8, during = "fault" }\n'
    found = asked(subject(tmp_path, TOML + own))
    assert {"name": "availability"} in found
    assert {"name": "availability", "at_least": 0.8, "during": "fault"} in found


EVERYTHING = """
[objectives]
availability = { at_least = 0.999, during = "all" }
p99 = { at_most = "200ms", during = "fault" }
restarts = 3
recovery = "1s"
"""


@pytest.mark.parametrize("slug", [each.slug for each in catalog.discover()])
def test_everything_asked_is_asked_in_every_shipped_scenario(tmp_path: Path, slug: str) -> None:
    own = subject(tmp_path, TOML + EVERYTHING)
    [each] = catalog.choose(catalog.discover(), [slug])
    found = asked(own, each.scenario)
    assert {"name": "availability", "at_least": 0.999, "during": "all"} in found
    assert {"name": "latency", "at_most": "0.2s", "during": "fault"} in found
    assert {"name": "recovery", "within": "1s"} in found
    [restarts] = [o for o in found if o["name"] == "restarts" and o["role"] == "workload"]
    assert restarts["at_most"] == 3


def test_what_is_asked_of_an_unbound_workload_is_refused_and_not_dropped(tmp_path: Path) -> None:
    lost = dataclasses.replace(
        SLOW,
        faults=[faults.NodeLoss("worker", mode="paused")],
        objectives=[objectives.self_healing("worker", within="60s")],
    )
    without = TOML.replace('workload = "Deployment/web"\n', "")
    assert isinstance(fit(lost, subject(tmp_path / "a", without)), Found)
    asking = subject(tmp_path / "b", without + "[objectives]\nrestarts = 0\n")
    assert why_not(lost, asking) == "needs role workload, which b/harness.toml does not bind"


def test_the_restart_that_cures_a_hang_is_allowed(tmp_path: Path) -> None:
    hang = dataclasses.replace(SLOW, faults=[faults.Hang("workload", pods=2)])
    [restarts] = fitting.for_subject(
        hang, subject(tmp_path, TOML + "[objectives]\nrestarts = 0\n")
    ).objectives[:1]
    assert restarts == objectives.restarts("workload", at_most=0, cures=2)
    assert restarts.describe() == "at most 0 restarts of workload beside 2 that cure the fault"


def test_the_hang_of_another_role_cures_nothing_of_the_workload(tmp_path: Path) -> None:
    hang = dataclasses.replace(SLOW, faults=[faults.Hang("worker")])
    own = subject(tmp_path, TOML + "[objectives]\nrestarts = 0\n")
    assert objectives.restarts("workload") in fitting.for_subject(hang, own).objectives


# -- load and variants ------------------------------------------------------------------------


def test_user_s_subject_is_put_under_its_own_load(tmp_path: Path) -> None:
    shipped = dataclasses.replace(SLOW, load=Load(rate=40, endpoints={"GET /x": 1}))
    text = TOML + '\n[load]\nrate = 7\ntimeout = "2500ms"\n'
    assert fitting.for_subject(shipped, subject(tmp_path / "a", text)).load == Load(
        rate=7, timeout="2.5s"
    )
    assert fitting.for_subject(shipped, subject(tmp_path / "b")).load == Load(rate=40)


def test_user_s_own_variants_are_expected_to_survive(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    component = shop / "variants" / "tuned"
    component.mkdir(parents=True)
    (component / "kustomization.yaml").write_text("kind: Component\n")
    (shop / "variants" / "notes").mkdir()
    text = TOML.replace('"deploy/"\n', '"deploy/"\nvariants = "variants/"\n')
    theirs = fitting.for_subject(SLOW, subject(shop, text))
    assert dict(theirs.variants) == {AS_GIVEN: Expect("survived"), "tuned": Expect("survived")}
