"""The fault that asks the API for a forbidden tag: what it asks, and what counts as an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import families
from harness.errors import UsageError
from harness.faults import TaggedImage
from harness.faults.base import Achieved, FaultContext
from harness.kube.client import ApiError, UnreachableError
from harness.manifest.subject_file import Role

FAULT = TaggedImage("workload", tag="latest")
DENIED = "ValidatingAdmissionPolicy 'tags' with binding 'tags' denied request: no"
API = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "api", "namespace": "shop"},
    "spec": {
        "template": {
            "spec": {
                "initContainers": [{"name": "first", "image": "registry:5000/tools"}],
                "containers": [{"name": "api", "image": f"acme/api:1.4@sha256:{'0' * 64}"}],
            }
        }
    },
}


class Cluster:
    """An API server with a rule."""

    def __init__(self) -> None:
        self.refuses: Callable[[str, str], Exception | None] = lambda name, image: None
        self.asked: list[tuple[str, list[str]]] = []
        self.records: list[Any] = []
        self.told: list[dict[str, Any]] = []
        self.context = cast(
            FaultContext,
            SimpleNamespace(
                trial="t1",
                kube=self,
                role=lambda name: Role.model_validate({"ref": "shop/Deployment/api"}),
                ledger=SimpleNamespace(open_records=self.records),
                record=lambda kind, data: self.records.append(
                    SimpleNamespace(kind=kind, trial="t1", data=data)
                ),
                tell=lambda type_, **fields: self.told.append(fields),
                standing=[API],
            ),
        )

    async def apply(self, obj: Any, *, dry_run: bool) -> None:
        assert dry_run, "nothing may be kept"
        spec = obj["spec"]["template"]["spec"]
        images = [each["image"] for each in (*spec["initContainers"], *spec["containers"])]
        self.asked.append((obj["metadata"]["name"], images))
        if error := self.refuses(obj["metadata"]["name"], images[-1]):
            raise error

    def measure(self) -> Achieved:
        return asyncio.run(FAULT.measure(self.context))

    def inject(self) -> None:
        asyncio.run(FAULT.inject(self.context))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def refusal(status: int, detail: str) -> ApiError:
    return ApiError(status=status, reason="", detail=detail, request="PATCH", body={})


def latest(error: Exception) -> Callable[[str, str], Exception | None]:
    return lambda name, image: error if image.endswith(":latest") else None


def test_before_the_injection_only_the_permitted_tag_is_asked_for(cluster: Cluster) -> None:
    assert not cluster.measure().felt
    images = ["registry:5000/tools:1.0.0", "docker.io/acme/api:1.0.0"]
    assert cluster.asked == [("api-too", images), ("api", images)]
    assert {each["permitted"] for each in cluster.told} == {True}


def test_it_is_asked_for_new_and_as_a_change_in_every_kind_of_container(cluster: Cluster) -> None:
    cluster.inject()
    images = ["registry:5000/tools:latest", "docker.io/acme/api:latest"]
    assert cluster.asked[2:] == [("api-too", images), ("api", images)]
    assert API["spec"]["template"]["spec"]["initContainers"][0]["image"] == "registry:5000/tools"  # type: ignore[index]
    cluster.told.clear()
    got = cluster.measure()
    assert (got.felt, [met.by for met in got.met]) == (True, ["a pipeline"])
    assert [(each["target"], each["answer"]) for each in cluster.told[2:]] == [
        ("CREATE with tag latest", "allowed"),
        ("UPDATE with tag latest", "allowed"),
    ]


def test_a_refusal_at_admission_is_an_answer_in_its_own_words(cluster: Cluster) -> None:
    cluster.inject()
    cluster.told.clear()
    cluster.refuses = latest(refusal(422, DENIED))
    assert cluster.measure().felt
    (told, _) = cluster.told[2:]
    assert (told["answer"], told["code"]) == ("refused", "422")
    assert told["text"] == f"CREATE of Deployment/api-too: {DENIED}"


@pytest.mark.parametrize(
    "error",
    [
        refusal(500, "etcdserver: request timed out"),
        refusal(422, "spec.replicas: Invalid value"),
        UnreachableError("gone", remedy=""),
    ],
)
def test_what_did_not_get_as_far_as_admission_is_no_answer(
    cluster: Cluster, error: Exception
) -> None:
    cluster.inject()
    cluster.refuses = latest(error)
    got = cluster.measure()
    assert not got.felt
    assert got.note.startswith("no answer to a pipeline")


def test_where_nothing_is_admitted_the_tag_was_not_refused(cluster: Cluster) -> None:
    cluster.inject()
    cluster.refuses = lambda name, image: refusal(422, DENIED)
    got = cluster.measure()
    assert not got.felt
    assert "cannot even reach for CREATE with tag 1.0.0, which is permitted" in got.note


def test_a_rule_that_looks_at_creation_only_lets_the_change_in(cluster: Cluster) -> None:
    cluster.inject()
    cluster.told.clear()
    cluster.refuses = lambda name, image: (
        refusal(422, DENIED) if (name, image[-7:]) == ("api-too", ":latest") else None
    )
    assert cluster.measure().felt
    assert [each["answer"] for each in cluster.told[2:]] == ["refused", "allowed"]


def test_a_tag_has_its_scenario() -> None:
    made = families.admission("latest", title="t", source="s")
    assert [fault.to_json() for fault in made.faults] == [FAULT.to_json()]
    verdicts = {name: (each.verdict, len(each.shows)) for name, each in made.variants.items()}
    assert verdicts == {"fragile": ("failed", 2), "hardened": ("survived", 2)}


@pytest.mark.parametrize("tag", ["", "1.0.0"])
def test_a_tag_that_nobody_forbids_is_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="nobody forbids the tag"):
        TaggedImage("workload", tag=tag)
