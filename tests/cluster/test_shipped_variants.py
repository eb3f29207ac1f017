"""Every shipped variant through the whole manifest path: kustomize, checks, scaling, isolation,
proxy, checks again. No cluster is needed, but the kubectl of the node image is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness import paths
from harness.host import go_programs
from harness.host.engine import ensure_engine
from harness.images.node_image import node_image
from harness.images.reading import checked
from harness.images.supply import KUBERNETES_VERSION
from harness.manifest.diff import diff
from harness.manifest.exposure import liveness_kills
from harness.manifest.facts import facts
from harness.manifest.interpose import Interposed, Proxy, interpose
from harness.manifest.isolation import isolate
from harness.manifest.objects import Object, pods_of_role
from harness.manifest.scale import good_factors, scale
from harness.manifest.subject_file import Role, SubjectFile
from harness.manifest.validate import check, problems
from harness.runs import catalog
from harness.runs.catalog import Found

pytestmark = pytest.mark.asyncio

PROXY = Proxy(namespace="harness-t1a2b3", name="proxy", labels={"resilience-harness.dev/x": "y"})
SHIPPED = catalog.discover(paths.data("scenarios"))


@pytest.fixture(scope="module")
def kubectl() -> Path:
    engine = ensure_engine()
    return go_programs.kubectl(engine, node_image(engine))


def subject_of(found: Found) -> SubjectFile:
    return catalog.sample_subject(found.scenario.subject).also(found.scenario.roles)


def placed(roles: Mapping[str, Role], namespaces: Mapping[str, str]) -> dict[str, Role]:
    """The roles that name a namespace, in the trial's own."""
    return {
        name: role.model_copy(update={"ref": replace(role.ref, namespace=namespaces[written])})
        if (written := role.ref.namespace)
        else role
        for name, role in roles.items()
    }


async def variants_of(found: Found, kubectl: Path) -> dict[str, list[Object]]:
    """What stands in each variant once its release was applied."""
    subject = subject_of(found)
    return {
        name: (await checked(subject, found.layers(name), kubectl=kubectl))[1].objects
        for name in found.scenario.variants
    }


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.slug)
async def test_every_variant_can_be_run(found: Found, kubectl: Path) -> None:
    subject = subject_of(found)
    variants = await variants_of(found, kubectl)
    factor = found.scenario.scale
    assert factor in good_factors(*variants.values())
    for objects in variants.values():
        check(objects, version=KUBERNETES_VERSION, roles=subject.roles)
        scaled = scale(objects, factor).objects
        own = isolate(scaled, trial="t1a2b3", default_namespace=subject.subject.namespace)
        assert own.why == ()
        roles = placed(subject.roles, own.namespaces)
        assert problems(own.objects, version=KUBERNETES_VERSION, roles=roles) == []
        assert facts(own.objects, roles, scale=factor).role("workload").replicas > 0
        if "database" not in subject.roles:
            continue
        proxied = interpose(own.objects, subject.role("database").ref, proxy=PROXY)
        assert isinstance(proxied, Interposed)
        assert problems(proxied.objects, version=KUBERNETES_VERSION) == []


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.slug)
async def test_variants_differ_from_each_other(found: Found, kubectl: Path) -> None:
    variants = list((await variants_of(found, kubectl)).values())
    for index, one in enumerate(variants):
        for other in variants[index + 1 :]:
            assert diff(one, other), "two variants are the same: does a patch match nothing?"


async def test_scaling_shortens_what_the_verdict_waits_for(kubectl: Path) -> None:
    found = next(each for each in SHIPPED if each.slug == "liveness-checks-database")
    workload = catalog.sample_subject("checkout").role("workload").ref
    fragile = (await variants_of(found, kubectl))["fragile"]
    (slow,) = pods_of_role(fragile, workload)
    (fast,) = pods_of_role(scale(fragile, found.scenario.scale).objects, workload)
    before, after = liveness_kills(slow), liveness_kills(fast)
    assert before is not None
    assert after is not None
    assert (before.seconds - 1) / found.scenario.scale == after.seconds - 1
