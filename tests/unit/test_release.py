"""The fault Release: what is applied, what is told of the answers, and when it is felt."""

from __future__ import annotations

import asyncio
import copy
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import FaultError
from harness.faults import Release
from harness.faults.base import Achieved, FaultContext
from harness.kube.client import ApiError
from harness.labels import of_trial
from harness.manifest.subject_file import Role
from harness.undo import changed_objects

QUOTA = 'deployments "new" is forbidden: exceeded quota'


def obj(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop"}
    api = "apps/v1" if kind == "Deployment" else "v1"
    return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}


class Shop:
    """A cluster that applies objects as they are, and refuses those of some names."""

    def __init__(self, *standing: dict[str, Any]) -> None:
        self.live = {o["metadata"]["name"]: self._served(o) for o in standing}
        self.refused: set[str] = set()
        self.status = 403
        self.told: list[dict[str, Any]] = []
        self.records: list[Any] = []
        self.standing = standing

    def context(self, *released: dict[str, Any], target: str = "Deployment/new") -> FaultContext:
        return cast(
            FaultContext,
            SimpleNamespace(
                trial="t1",
                kube=self,
                cluster=None,
                ledger=SimpleNamespace(record=self._record, open_records=self.records),
                role=lambda _: Role.model_validate({"ref": target}),
                standing=self.standing,
                released=released,
                tell=lambda type_, **fields: self.told.append({"type": type_, **fields}),
            ),
        )

    def _record(self, kind: str, data: Any, **_: Any) -> None:
        self.records.append(SimpleNamespace(kind=kind, trial="t1", data=data))

    async def find(self, api: str, kind: str, name: str, namespace: str) -> Any:
        return copy.deepcopy(self.live.get(name))

    async def apply(self, applied: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        name = applied["metadata"]["name"]
        if name in self.refused:
            detail = QUOTA if self.status == 403 else "etcdserver: request timed out"
            raise ApiError(status=self.status, reason="", detail=detail, request="PATCH", body={})
        served = self._served(applied)
        if not dry_run:
            self.live[name] = served
        return served

    def _served(self, applied: dict[str, Any]) -> dict[str, Any]:
        served = copy.deepcopy(applied)
        served["metadata"] |= {"generation": 2, "uid": "u"}
        served["status"] = {"observedGeneration": 2}
        return served


def measured(context: FaultContext) -> Achieved:
    return asyncio.run(Release("newcomer").measure(context))


def test_it_is_felt_once_every_object_stands_as_released() -> None:
    changed, new = obj("Deployment", "new", replicas=3), obj("ConfigMap", "settings")
    shop = Shop(obj("Deployment", "new", replicas=2))
    context = shop.context(changed, new)
    assert not measured(context).felt
    asyncio.run(Release("newcomer").inject(context))
    got = measured(context)
    assert (got.felt, got.achieved) == (True, {"objects": 2})
    assert [met.how for met in got.met] == ["Deployment/new stands as released"]
    assert [(t["type"], t["name"], t["admitted"]) for t in shop.told] == [
        ("answer", "settings", True),
        ("answer", "new", True),
    ]
    assert {r.data["name"]: r.data["back"] for r in shop.records} == {
        "settings": None,
        "new": {"spec": {"replicas": 2}},
    }
    assert {r.kind for r in shop.records} == {changed_objects.UNDO}


def test_it_is_not_felt_before_the_controller_has_seen_it() -> None:
    shop = Shop()
    context = shop.context(obj("Deployment", "new", replicas=3))
    asyncio.run(Release("newcomer").inject(context))
    shop.live["new"]["status"]["observedGeneration"] = 1
    got = measured(context)
    assert not got.felt
    assert got.note == "not as released: shop/Deployment/new"


def test_a_refusal_is_an_answer_and_felt_but_not_before_it_was_asked_for() -> None:
    shop = Shop()
    shop.refused.add("new")
    context = shop.context(obj("Deployment", "new"))
    assert not measured(context).felt, "it would be refused, but nobody tried"
    asyncio.run(Release("newcomer").inject(context))
    got = measured(context)
    assert got.felt
    assert [met.how for met in got.met] == [f"Deployment/new refused: {QUOTA}"]
    (told,) = shop.told
    assert (told["admitted"], told["code"], told["stage"]) == (False, 403, "admission")
    assert told["message"] == QUOTA


def test_a_cluster_that_fails_has_answered_nothing() -> None:
    shop = Shop()
    shop.refused.add("new")
    shop.status = 500
    context = shop.context(obj("Deployment", "new"))
    with pytest.raises(ApiError, match="timed out"):
        asyncio.run(Release("newcomer").inject(context))
    assert shop.told == []
    with pytest.raises(ApiError, match="timed out"):
        measured(context)


def test_what_stood_before_keeps_its_labels_and_what_is_new_gets_the_trials() -> None:
    changed, new = obj("Deployment", "new", replicas=3), obj("ConfigMap", "settings")
    shop = Shop(obj("Deployment", "new", replicas=2))
    asyncio.run(Release("newcomer").inject(shop.context(changed, new)))
    assert "labels" not in shop.live["new"]["metadata"]
    assert shop.live["settings"]["metadata"]["labels"] == of_trial("t1")


def test_a_release_that_is_swallowed_is_not_felt() -> None:
    shop = Shop(obj("Deployment", "new", replicas=2))
    context = shop.context(obj("Deployment", "new", replicas=3))
    before = copy.deepcopy(shop.live)
    asyncio.run(Release("newcomer").inject(context))
    shop.live = before
    assert not measured(context).felt


def test_a_release_without_its_target_is_refused() -> None:
    context = Shop().context(obj("ConfigMap", "settings"))
    with pytest.raises(FaultError, match="the release has no Deployment/new"):
        asyncio.run(Release("newcomer").inject(context))
