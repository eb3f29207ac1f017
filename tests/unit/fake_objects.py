"""What an API server does with the requests of the real client, on the objects of a fake world."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from fake_apiserver import discovery, status

from harness.addons import csi
from harness.kube.client import Answer
from harness.kube.transport import Wire

if TYPE_CHECKING:
    from fake_world import FakeWorld

Json = dict[str, Any]

KINDS: dict[str, Any] = {
    "v1": [
        ("Namespace", "namespaces", False, []),
        ("Node", "nodes", False, []),
        ("PersistentVolume", "persistentvolumes", False, []),
        ("PersistentVolumeClaim", "persistentvolumeclaims", True, []),
        ("Pod", "pods", True, ["proxy"]),
        ("Service", "services", True, []),
        ("ConfigMap", "configmaps", True, []),
    ],
    "apps/v1": [("Deployment", "deployments", True, [])],
    "rbac.authorization.k8s.io/v1": [("ClusterRole", "clusterroles", False, [])],
    "storage.k8s.io/v1": [("VolumeAttachment", "volumeattachments", False, [])],
}
_KIND_OF = {plural: kind for kinds in KINDS.values() for kind, plural, _, _ in kinds}
_PATH = re.compile(
    r"/apis?/(?P<api>v1|[^/]+/v1)(/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[a-z]+)"
    r"(/(?P<name>[^/:]+)(:\d+/proxy(?P<proxied>/.*))?)?"
)


class RefusedError(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.answer = _answer(status(code, reason, reason), code)


class ObjectsWire(Wire):
    """What an API server does with a request."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(cast(Any, None), "https://fake", patience=1.0)
        self._world = world

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | list[tuple[str, str]] | None,
        data: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Answer:
        if path in ("/api", "/apis"):
            return _answer(discovery(KINDS, core=path == "/api"))
        body = json.loads(data) if data else {}

        def carried_out() -> Answer:
            strategic = "strategic" in headers.get("Content-Type", "")
            return self._carried_out(method, path, dict(params or {}), body, strategic)

        try:
            if method == "GET":
                return carried_out()
            return cast(Answer, self._world.change(f"{method} {path}", carried_out))
        except RefusedError as refused:
            return refused.answer

    def _carried_out(
        self, method: str, path: str, params: Json, body: Json, strategic: bool
    ) -> Answer:
        found = _PATH.fullmatch(path)
        assert found, path
        kind, namespace, name = _KIND_OF[found["plural"]], found["namespace"] or "", found["name"]
        objects = self._world.state.objects
        if found["proxied"]:
            return _answer(self._asked(method, name, found["proxied"], body))
        if namespace and method == "POST" and ("Namespace", "", namespace) not in objects:
            raise RefusedError(404, "NotFound")
        if method == "POST":
            return self._created(kind, namespace, body)
        if "dryRun" in params:
            return _answer(body)
        if name is None:
            return self._many(method, kind, namespace, params.get("labelSelector", ""))
        there = objects.get((kind, namespace, name))
        if there is None and method == "PATCH" and "force" in params:
            return self._created(kind, namespace, body)
        if there is None:
            raise RefusedError(404, "NotFound")
        if method == "PATCH":
            merge(there, body, strategic=strategic)
        if method == "DELETE":
            self._deleted((kind, namespace, name))
        return _answer(self._told(there))

    def _created(self, kind: str, namespace: str, body: Json) -> Answer:
        if (kind, namespace, body["metadata"]["name"]) in self._world.state.objects:
            raise RefusedError(409, "AlreadyExists")
        self._world.add(body)
        if kind == "PersistentVolumeClaim":
            self._provisioned(namespace, body["spec"])
        return _answer(body)

    def _provisioned(self, namespace: str, claim: Json) -> None:
        """The volume of a new claim, made by the storage driver."""
        where = {"csi": {"driver": csi.DRIVER}, "claimRef": {"namespace": namespace}}
        meta = {"name": claim["volumeName"]}
        self._world.add({"kind": "PersistentVolume", "metadata": meta, "spec": where})

    def _many(self, method: str, kind: str, namespace: str, labels: str) -> Answer:
        found = [
            (key, self._told(obj))
            for key, obj in self._world.state.objects.items()
            if key[0] == kind and namespace in ("", key[1]) and _selected(obj, labels)
        ]
        if method == "DELETE":
            for key, _ in found:
                self._deleted(key)
        return _answer({"metadata": {}, "items": [obj for _, obj in found]})

    def _deleted(self, key: tuple[str, str, str]) -> None:
        """At once, with what is in it; and a claim with its volume."""
        objects = self._world.state.objects
        gone = objects.pop(key)
        if key[0] == "Namespace":
            for inside in [each for each in objects if each[1] == key[2]]:
                self._deleted(inside)
        if key[0] == "PersistentVolumeClaim":
            objects.pop(("PersistentVolume", "", gone["spec"]["volumeName"]), None)

    def _told(self, obj: Json) -> Json:
        """As it is, and a node as ready as its state lets it be."""
        told = copy.deepcopy(obj)
        if obj["kind"] == "Node":
            name = obj["metadata"]["name"]
            lost = {(name, "paused"), (name, "no kubelet")} & self._world.state.in_nodes.keys()
            ready = {"type": "Ready", "status": "Unknown" if lost else "True"}
            told["status"] = {"conditions": [ready]}
        return told

    def _asked(self, method: str, pod: str, path: str, body: Json) -> Json:
        """One exchange with a pod of ours: the proxy, the agent, the storage driver."""
        asked = self._world.state.asked
        if path == "/faults":
            maps = [key[2] for key in self._world.state.objects if key[0] == "ConfigMap"]
            return {"active": [{"id": name} for name in maps], "malformed": {}}
        what = body.get("name") or path.rpartition("/")[2]
        if method == "PUT":
            asked[pod, what] = body
            return {"held": 1, "refused": None}
        asked.pop((pod, what), None)
        return {what: {"toxics": []}}


def _selected(obj: Json, selector: str) -> bool:
    labels = obj["metadata"].get("labels") or {}
    if selector == csi._PODS:
        return str(labels.get("app", "")).startswith("csi-")
    wanted = [each.split("=") for each in selector.split(",") if each]
    return all(labels.get(key) == value for key, value in wanted)


def merge(into: Json, patch: Json, *, strategic: bool = False) -> None:
    """A JSON merge patch, or a strategic one of lists whose items have names."""
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            merge(into.setdefault(key, {}), value, strategic=strategic)
            # What a patch emptied is what was never there.
            if not into[key]:
                del into[key]
        elif strategic and isinstance(value, list):
            named = {each["name"]: each for each in into.get(key, [])}
            for each in value:
                if each.get("$patch") == "delete":
                    named.pop(each["name"], None)
                else:
                    merge(named.setdefault(each["name"], {}), each, strategic=True)
            into[key] = list(named.values())
            if not into[key]:
                del into[key]
        else:
            into[key] = value


def _answer(body: Json, code: int = 200) -> Answer:
    return Answer(status=code, body=json.dumps(body).encode(), headers={})
