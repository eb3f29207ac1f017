"""The road from manifests to a placement: scenarios and `deploy()` make the same of a subject."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from harness import Expect, Load, Scenario, faults, objectives
from harness.authoring.placing import Request
from harness.authoring.placing import place as place_deployed
from harness.declare import Fault
from harness.errors import ManifestError
from harness.images.supply import Supply
from harness.manifest.objects import Object
from harness.manifest.subject_file import SubjectFile
from harness.manifest.subject_reading import load_subject
from harness.runs.catalog import Found
from harness.runs.fitting import NotApplicable
from harness.runs.options import Options
from harness.runs.plans import Prepared, plan, prepare
from harness.trial.placement import Placement

TOML = """
[subject]
name = "shop"
manifests = "web.yaml"
[roles]
entry = "Service/web:80"
workload = "Deployment/web"
database = "Service/web:80"
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
        - name: web
          image: shop/web:1
          livenessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 20, timeoutSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
SLOW = faults.SlowDependency("database", latency="3s")


class Shelf(Supply):
    """Every image of the manifests, without an engine or a registry."""

    async def kubectl(self) -> Path:
        """Plain YAML needs none."""
        return Path("kubectl")

    async def own_images(self) -> Mapping[str, str]:
        """The agent."""
        return {"agent": "registry/agent@sha256:a"}

    async def require_images(
        self, subject: SubjectFile, objects: Sequence[Object], *, more: Sequence[str] = ()
    ) -> None:
        """All are there."""

    async def subject_images(
        self, subject: SubjectFile, objects: Sequence[Object], *, more: Sequence[str] = ()
    ) -> Mapping[str, str]:
        """By a digest of their own."""
        return {name: f"registry/{name}@sha256:1" for name in ("shop/web:1", *more)}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A subject that scale 5 and 10 fit."""
    (tmp_path / "harness.toml").write_text(TOML)
    (tmp_path / "web.yaml").write_text(WEB)
    return tmp_path


def scenario(scale: int, *more: Fault) -> Scenario:
    return Scenario(
        title="t",
        source="s",
        subject="shop",
        slug="slow",
        scale=scale,
        load=Load(rate=7),
        faults=[SLOW, *more],
        objectives=[objectives.restarts("workload")],
        variants={"as-given": Expect("survived")},
    )


def prepared(shop: Path, declared: Scenario, *, faithful: bool = False) -> Prepared:
    options = Options(subject=shop, faithful=faithful)
    found = Found(declared, shop)
    made = asyncio.run(prepare(found, load_subject(shop), options, Shelf()))
    assert isinstance(made, Prepared)
    return made


def planned(shop: Path, declared: Scenario, *, faithful: bool = False) -> Placement:
    made = prepared(shop, declared, faithful=faithful)
    return asyncio.run(plan(made, "as-given", Shelf(), seed=1, folder=shop)).placement


def deployed(shop: Path, scale: int, *given: faults.SlowDependency) -> Placement:
    request = Request(
        path=".",
        folders=[shop],
        variant=None,
        scale=scale,
        in_path=None,
        faults=given,
        seed=1,
        folder=shop,
        test="test_it",
    )
    return asyncio.run(place_deployed(request, Shelf()))


def without_trial(placement: Placement) -> str:
    return str(placement.isolation.objects).replace(placement.trial, "TRIAL")


def liveness(placement: Placement) -> Object:
    [deployment] = [o for o in placement.isolation.objects if o["kind"] == "Deployment"]
    found: Object = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def test_scenarios_and_deploy_make_the_same_of_a_subject(shop: Path) -> None:
    by_scenario, by_test = planned(shop, scenario(5)), deployed(shop, 5, SLOW)
    assert without_trial(by_scenario) == without_trial(by_test)
    for field in ("scale", "exclusive", "images"):
        assert getattr(by_scenario, field) == getattr(by_test, field)
    assert by_scenario.declared["notes"] == by_test.declared["notes"]


def test_objects_are_scaled_by_digest_and_in_namespaces_of_their_own(shop: Path) -> None:
    placement = planned(shop, scenario(5))
    container = liveness(placement)
    assert container["image"] == "registry/shop/web:1@sha256:1"
    assert container["livenessProbe"]["periodSeconds"] == 4
    assert placement.isolation.namespaces == {"shop": f"shop-{placement.trial}"}
    assert placement.declared["variant"] == "as-given"


def test_the_factor_is_the_largest_that_keeps_every_ratio(shop: Path) -> None:
    assert planned(shop, scenario(9)).scale == 5


def test_a_faithful_run_keeps_the_times(shop: Path) -> None:
    placement = planned(shop, scenario(5), faithful=True)
    assert placement.scale == 1
    assert liveness(placement)["livenessProbe"]["periodSeconds"] == 20


@pytest.mark.parametrize("broken", ["periodSeconds: soon", "periodSecond: 20"])
def test_what_no_cluster_would_accept_is_refused_on_both_ways(shop: Path, broken: str) -> None:
    (shop / "web.yaml").write_text(WEB.replace("periodSeconds: 20", broken))
    with pytest.raises(ManifestError, match="periodSecond"):
        planned(shop, scenario(5))
    with pytest.raises(ManifestError, match="periodSecond"):
        deployed(shop, 1)


def test_a_fault_that_reaches_further_has_the_cluster_alone(shop: Path) -> None:
    assert not planned(shop, scenario(1)).exclusive
    assert planned(shop, scenario(1, faults.NodeLoss("workload", mode="paused"))).exclusive


def test_a_fault_that_can_do_nothing_leaves_the_scenario_out(shop: Path) -> None:
    delayed = scenario(1, faults.SlowStart("workload", delay="60s"))
    found = Found(delayed, shop)
    made = asyncio.run(prepare(found, load_subject(shop), Options(subject=shop), Shelf()))
    assert isinstance(made, NotApplicable)
    assert "nothing is known that delays the start" in made.why
