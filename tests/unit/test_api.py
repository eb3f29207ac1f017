"""Requests, retries and errors of the Kubernetes client, against a scripted server."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fake_apiserver import config_map, fake_apiserver, status

from harness.errors import ClusterError, ManifestError, UsageError
from harness.kube.client import ApiError, Kube, UnreachableError
from harness.kube.responses import stage_of

ITEM = "/api/v1/namespaces/ns/configmaps/a"


@pytest.mark.parametrize(
    ("code", "detail", "stage"),
    [
        (401, "Unauthorized", "authentication"),
        (403, 'pods is forbidden: User "x" cannot list resource "pods" in', "authorization"),
        (403, 'pods "a" is forbidden: exceeded quota: compute-resources, requested:', "admission"),
        (403, 'pods "a" is forbidden: failed quota: q: must specify limits.cpu', "admission"),
        (403, 'pods "a" is forbidden: violates PodSecurity "restricted:latest"', "admission"),
        (403, 'pods "a" is forbidden: maximum memory usage per Container is 1Gi', "admission"),
        (422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", "admission"),
        (400, 'admission webhook "w.example.com" denied the request: no', "admission"),
        (500, 'Internal error occurred: failed calling webhook "w"', "admission"),
        (429, "Cannot evict pod as it would violate the pod's disruption budget.", "admission"),
        (422, 'Deployment.apps "a" is invalid: spec.replicas: Invalid value: -1', "validation"),
        (400, 'strict decoding error: unknown field "spec.replica"', "validation"),
        (500, "failed to create typed patch object (/a): .spec.replica: no field", "validation"),
        (500, "etcdserver: request timed out", "store"),
        (429, "too many requests, please try again later", "store"),
        (504, "Timeout: request did not complete within the allotted timeout", "store"),
        (404, 'configmaps "a" not found', "store"),
        (409, "the object has been modified", "store"),
    ],
)
def test_the_stage_of_an_error(code: int, detail: str, stage: str) -> None:
    assert stage_of(code, detail) == stage


def obj(kind: str, name: str = "x", api_version: str = "v1") -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}


@pytest.mark.asyncio
class TestRequests:
    async def test_apply_is_server_side_strict_and_under_one_manager(self) -> None:
        async with fake_apiserver() as (server, kube):
            server.answer(ITEM, config_map("a", 1))
            read_earlier = config_map("a", 1)
            read_earlier["metadata"]["managedFields"] = [{"manager": "somebody"}]
            await kube.apply(read_earlier)
            request = server.requests[-1]
            assert request.method == "PATCH"
            assert request.headers["Content-Type"] == "application/apply-patch+yaml"
            assert dict(request.query) == {
                "fieldManager": "resilience-harness",
                "force": "true",
                "fieldValidation": "Strict",
            }
            assert "managedFields" not in json.loads(server.bodies[-1])["metadata"]

    async def test_an_unknown_kind_is_named_with_the_nearest(self) -> None:
        async with fake_apiserver() as (_, kube):
            with pytest.raises(ManifestError, match="Deploymnet") as caught:
                await kube.apply(obj("Deploymnet", api_version="apps/v1"), "ns")
            assert "Deployment" in caught.value.remedy
            with pytest.raises(ManifestError) as caught:
                await kube.get("extensions/v1beta1", "Deployment", "x", "ns")
            assert "apps/v1" in caught.value.remedy

    async def test_a_kind_that_is_defined_later_is_found(self) -> None:
        async with fake_apiserver() as (server, kube):
            await kube.list("v1", "Pod")
            server.kinds["example.com/v1"] = [("Widget", "widgets", True, [])]
            resource = await kube.resource("example.com/v1", "Widget")
            assert resource.path("w", namespace="ns") == (
                "/apis/example.com/v1/namespaces/ns/widgets/w"
            )

    async def test_an_object_without_namespace_kind_or_name_is_refused_before_sending(
        self,
    ) -> None:
        async with fake_apiserver() as (server, kube):
            await kube.discovery.refresh()
            sent = len(server.requests)
            for wrong, word in (
                (obj("ConfigMap"), "namespace"),
                ({"apiVersion": "v1", "metadata": {"name": "a"}}, "kind"),
                ({"apiVersion": "v1", "kind": "Namespace", "metadata": {}}, "name"),
            ):
                with pytest.raises(ManifestError, match=word):
                    await kube.apply(wrong)
            assert len(server.requests) == sent

    async def test_find_and_delete_take_absence_as_an_answer(self) -> None:
        async with fake_apiserver() as (server, kube):
            server.answer(ITEM, status(404, "NotFound", 'configmaps "a" not found'), code=404)
            assert await kube.find("v1", "ConfigMap", "a", "ns") is None
            assert await kube.delete("v1", "ConfigMap", "a", "ns") is False
            with pytest.raises(ApiError) as caught:
                await kube.get("v1", "ConfigMap", "a", "ns")
            assert caught.value.not_found
            assert caught.value.reason == "NotFound"

    async def test_an_eviction_is_a_question_that_is_asked_once(self) -> None:
        async with fake_apiserver() as (server, kube):
            path = "/api/v1/namespaces/ns/pods/a/eviction"
            text = "Cannot evict pod as it would violate the pod's disruption budget."
            server.answer(path, status(429, "TooManyRequests", text), code=429)
            with pytest.raises(ApiError) as caught:
                await kube.evict("a", "ns")
            assert (caught.value.status, caught.value.stage) == (429, "admission")
            asked = [r for r in server.requests if r.path == path]
            assert [r.method for r in asked] == ["POST"]

    async def test_lists_are_unfolded_and_applied_in_an_order_that_works(self) -> None:
        async with fake_apiserver() as (server, kube):
            server.answer(ITEM, {})
            server.answer("/api/v1/namespaces/ns", {})
            listed = {"apiVersion": "v1", "kind": "List", "items": [config_map("a", 1)]}
            await kube.apply_all([listed, obj("Namespace", "ns")])
            assert [r.path for r in server.requests[-2:]] == ["/api/v1/namespaces/ns", ITEM]

    async def test_a_list_in_pages_is_one_list(self) -> None:
        async def page(request: web.Request) -> web.Response:
            last = request.query.get("continue") == "more"
            metadata = {"resourceVersion": "5"} | ({} if last else {"continue": "more"})
            item = {"metadata": {"name": "two" if last else "one"}}
            return web.json_response({"metadata": metadata, "items": [item]})

        async with fake_apiserver() as (server, kube):
            server.on("/api/v1/configmaps", page)
            items = await kube.list("v1", "ConfigMap", labels="a=b")
            assert [item["metadata"]["name"] for item in items] == ["one", "two"]
            assert {item["kind"] for item in items} == {"ConfigMap"}
            assert all(r.query["labelSelector"] == "a=b" for r in server.requests[-2:])

    async def test_a_proxied_error_is_the_pods_own_unless_the_api_server_made_it(self) -> None:
        path = "/api/v1/namespaces/ns/pods/p:8080/proxy/healthz"
        async with fake_apiserver() as (server, kube):
            server.answer(path, {"db": "down"}, code=503)
            answer = await kube.pod_proxy("ns", "p", 8080, path="/healthz")
            assert (answer.status, answer.json()) == (503, {"db": "down"})

            async def unreachable(_: web.Request) -> web.Response:
                body = '{"kind":"Status","reason":"ServiceUnavailable","message":"no route"}'
                return web.Response(text=body, status=503)

            server.on(path, unreachable)
            with pytest.raises(ApiError, match="no route"):
                await kube.pod_proxy("ns", "p", 8080, path="/healthz")


@pytest.mark.asyncio
class TestRetries:
    @staticmethod
    def failing(kube_answers: list[tuple[int, dict[str, Any]]], then: dict[str, Any]) -> Any:
        async def handler(_: web.Request) -> web.Response:
            if kube_answers:
                code, body = kube_answers.pop(0)
                headers = {"Retry-After": "1"} if code == 429 else {}
                return web.json_response(body, status=code, headers=headers)
            return web.json_response(then)

        return handler

    async def test_a_store_that_recovers_is_asked_again(self) -> None:
        async with fake_apiserver() as (server, kube):
            slow = status(500, "InternalError", "etcdserver: request timed out")
            server.on(ITEM, self.failing([(500, slow), (503, slow)], config_map("a", 1)))
            assert (await kube.get("v1", "ConfigMap", "a", "ns"))["kind"] == "ConfigMap"

    async def test_retry_after_is_kept_even_for_a_create(self) -> None:
        async with fake_apiserver() as (server, kube):
            busy = status(429, "TooManyRequests", "too many requests")
            path = "/api/v1/namespaces/ns/configmaps"
            server.on(path, self.failing([(429, busy)], config_map("a", 1)))
            began = time.monotonic()
            await kube.create(config_map("a", 1))
            assert time.monotonic() - began >= 1

    async def test_a_create_is_not_repeated_after_an_error_that_may_have_created(self) -> None:
        async with fake_apiserver() as (server, kube):
            slow = status(504, "Timeout", "request did not complete")
            path = "/api/v1/namespaces/ns/configmaps"
            server.on(path, self.failing([(504, slow)], config_map("a", 1)))
            with pytest.raises(ApiError) as caught:
                await kube.create(config_map("a", 1))
            assert caught.value.status == 504

    async def test_refusals_are_not_repeated(self) -> None:
        async with fake_apiserver() as (server, kube):
            for code, detail in (
                (422, "spec.replicas: Invalid value"),
                (500, "Internal error occurred: failed calling webhook"),
                (403, "exceeded quota"),
            ):
                refusal = (code, status(code, "Invalid", detail))
                server.on(ITEM, self.failing([refusal], config_map("a", 1)))
                with pytest.raises(ApiError):
                    await kube.apply(config_map("a", 1))

    async def test_an_api_server_that_knows_no_rules_yet_is_waited_for(self) -> None:
        async with fake_apiserver() as (server, kube):
            text = 'configmaps "a" is forbidden: User "x" cannot get resource "configmaps"'
            refusal = (403, status(403, "Forbidden", text))
            server.on("/readyz", self.failing([(500, {})] * 3, {}))
            server.on(ITEM, self.failing([refusal] * 4, config_map("a", 1)))
            assert (await kube.get("v1", "ConfigMap", "a", "ns"))["kind"] == "ConfigMap"
            server.on(ITEM, self.failing([refusal] * 99, config_map("a", 1)))
            before = len(server.requests)
            with pytest.raises(ApiError, match="cannot get resource"):
                await kube.get("v1", "ConfigMap", "a", "ns")
            assert len([r for r in server.requests[before:] if r.path == ITEM]) == 2

    async def test_a_dead_server_is_given_up_within_patience_with_a_remedy(self) -> None:
        async with fake_apiserver(patience=0.5) as (server, kube):
            await kube.discovery.refresh()
            await server.kill()
            began = time.monotonic()
            with pytest.raises(UnreachableError) as caught:
                await kube.get("v1", "ConfigMap", "a", "ns")
            assert time.monotonic() - began > 0.4
            assert "harness up" in caught.value.remedy

    async def test_a_server_that_returns_within_patience_is_reached(self) -> None:
        async with fake_apiserver(patience=10) as (server, kube):
            server.answer(ITEM, config_map("a", 1))
            await kube.discovery.refresh()
            await server.kill()

            async with asyncio.TaskGroup() as group:
                read = group.create_task(kube.get("v1", "ConfigMap", "a", "ns"))
                await asyncio.sleep(0.2)
                await server.revive()
            assert read.result()["metadata"]["name"] == "a"


@pytest.mark.asyncio
class TestConnecting:
    async def test_a_kubeconfig_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ClusterError, match="no kubeconfig"):
            async with Kube.connect(tmp_path / "none"):
                pass

    async def test_a_context_that_is_not_there(self, tmp_path: Path) -> None:
        file = tmp_path / "kubeconfig"
        file.write_text(
            "{apiVersion: v1, kind: Config, current-context: a, "
            "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], "
            "users: [{name: u, user: {}}], contexts: [{name: a, context: {cluster: c, user: u}}]}"
        )
        with pytest.raises(UsageError, match="other"):
            async with Kube.connect(file, "other"):
                pass
        async with Kube.connect(file, patience=0.1) as kube:
            with pytest.raises(UnreachableError):
                await kube.uid()

    async def test_a_token_is_sent(self, tmp_path: Path) -> None:
        async with fake_apiserver() as (server, _):
            file = tmp_path / "kubeconfig"
            file.write_text(
                "{apiVersion: v1, kind: Config, current-context: a, "
                f"clusters: [{{name: c, cluster: {{server: '{server.url}'}}}}], "
                "users: [{name: u, user: {token: s3cret}}], "
                "contexts: [{name: a, context: {cluster: c, user: u}}]}"
            )
            async with Kube.connect(file) as kube:
                await kube.raw("/readyz")
            assert server.requests[-1].headers["Authorization"] == "Bearer s3cret"
