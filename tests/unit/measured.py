"""A cluster for measurements of faults, in which things are as the test says."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.faults import in_node, proxied, sessions, workloads
from harness.faults.base import Achieved, Fault, FaultContext, Met
from harness.manifest.subject_file import Role

API = Role.model_validate({"ref": "Deployment/api"})
DATABASE = Role.model_validate({"ref": "Service/db:5432"})
ROLES = {"workload": API, "worker": API, "database": DATABASE}


def pod(name: str, *, node: str = "n1", ip: str = "10.0.0.1", image: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "namespace": "shop", "annotations": {}},
        "spec": {"nodeName": node, "containers": [{"name": "api"}]},
        "status": {
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "containerStatuses": [{"name": "api", "state": {"running": {}}}],
        },
    }


class World:
    """A cluster in which things are as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.records: list[Any] = []
        self.listed: dict[str, list[Any]] = {}
        self.context = cast(
            FaultContext,
            SimpleNamespace(
                trial="t1",
                role=lambda name: ROLES[name],
                roles=ROLES,
                own_namespace="harness-t1",
                namespace_of=lambda ref: "shop",
                ledger=SimpleNamespace(open_records=self.records),
                kube=self,
                nodes=None,
                cluster=SimpleNamespace(control_planes=[SimpleNamespace(name="cp")]),
                scale=1,
            ),
        )

    def pods(self, *found: Any) -> None:
        async def those(*_: Any, **__: Any) -> list[Any]:
            return list(found)

        self.monkeypatch.setattr(workloads, "pods", those)

    def says(self, where: Any, name: str, answer: Any) -> None:
        async def say(*_: Any, **__: Any) -> Any:
            return answer

        self.monkeypatch.setattr(where, name, say)

    def recorded(self, kind: str, **data: Any) -> None:
        self.records.append(SimpleNamespace(kind=kind, trial="t1", data=data))

    async def list(self, api: str, kind: str, *_: Any, **__: Any) -> list[Any]:
        return self.listed[kind]

    def measure(self, fault: Fault) -> Achieved:
        return asyncio.run(fault.measure(self.context))


PROBE = {"httpGet": {"port": 8080, "path": "/"}}
TEMPLATE = {"spec": {"containers": [{"name": "api", "livenessProbe": PROBE}]}}
DEPLOYMENT = {"kind": "Deployment", "spec": {"template": TEMPLATE}}


def calm_world(monkeypatch: pytest.MonkeyPatch) -> World:
    """One in which whatever expires is renewed, and a pod of the workload uses the database."""
    made = World(monkeypatch)
    made.says(in_node, "renew", True)
    made.says(proxied, "renew", True)
    made.says(sessions, "renew", True)
    made.says(proxied, "met", (Met("api-1", "through the proxy", 3),))
    made.says(workloads, "live", DEPLOYMENT)
    return made


def node(name: str, ready: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    return {"metadata": {"name": name}, "spec": {}, "status": {"conditions": conditions}}
