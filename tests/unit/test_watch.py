"""The watcher against a server that expires, dies, falls silent and tears lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from fake_apiserver import config_map, fake_apiserver, status

from harness.errors import ClusterError, WaitTimeout
from harness.kube import watch
from harness.kube.changes import Blindness, Change, WatchSpec, differences
from harness.kube.client import ApiError, Kube
from harness.kube.eventually import eventually
from harness.kube.store import Store
from harness.kube.watch import Watcher

pytestmark = pytest.mark.asyncio

SPEC = WatchSpec(api_version="v1", kind="ConfigMap", namespace="ns")


class Heard:
    """What the callbacks were told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.blind: list[Blindness] = []

    def __call__(self, change: Change) -> None:
        self.changes.append(change)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(change.verb, change.name) for change in self.changes]


def watching(kube: Kube, heard: Heard) -> Watcher:
    return Watcher(kube, [SPEC], heard, heard.blind.append)


async def until(check: Callable[[], object], what: str) -> None:
    await eventually(check, within=10, every=0.01, what=what)


async def test_the_list_comes_first_then_each_change_in_order() -> None:
    async with fake_apiserver() as (server, kube):
        server.listing = [config_map("a", 1)]
        heard = Heard()
        async with watching(kube, heard) as watcher:
            await watcher.synced(within=10)
            assert heard.told == [("ADDED", "a")]
            assert heard.changes[0].relisted
            assert heard.changes[0].object["kind"] == "ConfigMap"
            await until(lambda: server.watches, "the watch to open")
            server.send("ADDED", config_map("b", 2))
            server.send("MODIFIED", config_map("a", 3))
            server.send("DELETED", config_map("b", 4))
            await until(lambda: len(heard.changes) == 4, "three changes")
        assert heard.told[1:] == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
        assert not any(change.relisted for change in heard.changes[1:])
        times = [change.monotonic_ns for change in heard.changes]
        assert times == sorted(times)


async def test_a_watch_that_ends_in_time_goes_on_from_the_last_bookmark() -> None:
    async with fake_apiserver() as (server, kube):
        heard = Heard()
        async with watching(kube, heard) as watcher:
            await watcher.synced(within=10)
            await until(lambda: server.watches, "the watch to open")
            bookmark = {"kind": "ConfigMap", "metadata": {"resourceVersion": "77"}}
            server.send("BOOKMARK", bookmark)
            server.end_watch()
            await until(lambda: len(server.watches) == 2, "the watch to open again")
        assert server.watch_requests[1].query["resourceVersion"] == "77"
        assert heard.changes == []
        assert heard.blind == []


@pytest.mark.parametrize("how", ["event", "answer"])
async def test_gone_lists_again_and_tells_only_what_differs(how: str) -> None:
    async with fake_apiserver() as (server, kube):
        server.listing = [
            config_map("kept", 1),
            config_map("changed", 1),
            config_map("deleted", 1),
            config_map("replaced", 1, uid="old"),
        ]
        heard = Heard()
        async with watching(kube, heard) as watcher:
            await watcher.synced(within=10)
            await until(lambda: server.watches, "the watch to open")
            del heard.changes[:]
            server.listing = [
                config_map("kept", 1),
                config_map("changed", 9),
                config_map("replaced", 9, uid="new"),
                config_map("added", 9),
            ]
            server.version = 9
            gone = status(410, "Expired", "too old resource version: 1 (5)")
            if how == "event":
                server.send("ERROR", gone)
            else:
                server.watch_refusal = (410, gone)
                server.end_watch()
            # Not `server.watches`: the server has opened a watch before its client knows.
            await until(lambda: len(heard.blind) == 2, "the end of blindness")
        assert sorted(heard.told) == [
            ("ADDED", "added"),
            ("ADDED", "replaced"),
            ("DELETED", "deleted"),
            ("DELETED", "replaced"),
            ("MODIFIED", "changed"),
        ]
        assert all(change.relisted for change in heard.changes)
        began, ended = heard.blind
        assert began.ended_ns is None
        assert ended.ended_ns is not None
        assert ended.lost
        assert server.watch_requests[-1].query["resourceVersion"] == "9"


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 429, 500, 503, 504])
async def test_whatever_refuses_the_watch_a_new_list_tells_the_truth(code: int) -> None:
    async with fake_apiserver() as (server, kube):
        server.listing = [config_map("deleted", 1)]
        heard = Heard()
        async with watching(kube, heard) as watcher:
            await watcher.synced(within=10)
            await until(lambda: server.watches, "the watch to open")
            server.listing, server.version = [config_map("added", 9)], 9
            server.watch_refusal = (code, status(code, "No", "not now"))
            server.end_watch()
            await until(lambda: len(heard.blind) == 2, "the end of blindness")
        assert heard.told[1:] == [("DELETED", "deleted"), ("ADDED", "added")]
        began, ended = heard.blind
        assert "not now" in began.reason
        assert ended.lost
        assert not ended.lasting


async def test_what_will_not_pass_is_told_at_once_and_tried_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "_RECONNECT_SECONDS", (0.01, 0.02))
    async with fake_apiserver() as (server, kube):
        path = "/api/v1/namespaces/ns/configmaps"
        server.listing = [config_map("deleted", 1)]
        heard = Heard()
        async with watching(kube, heard) as watcher:
            await watcher.synced(within=10)
            await until(lambda: server.watches, "the watch to open")
            server.answer(path, status(403, "Forbidden", 'User "x" cannot list'), code=403)
            server.end_watch()
            await until(lambda: len(heard.blind) == 2, "word that it will not pass")
            began, lasting = heard.blind
            assert not began.lasting
            assert lasting.lasting
            assert lasting.began_ns == began.began_ns
            refused = len(server.requests)
            await until(lambda: len(server.requests) > refused + 3, "more tries")
            server.listing, server.version = [], 9
            server.serve(path)
            await until(lambda: len(heard.blind) == 3, "the end of blindness")
        assert heard.told == [("ADDED", "deleted"), ("DELETED", "deleted")]
        assert heard.blind[2].lost


async def test_a_line_may_be_as_long_as_an_object_of_etcd() -> None:
    async with fake_apiserver() as (server, kube):
        heard = Heard()
        async with watching(kube, heard) as watcher:
            await watcher.synced(within=10)
            await until(lambda: server.watches, "the watch to open")
            server.send("ADDED", config_map("big", 2) | {"data": {"x": "y" * 1_500_000}})
            server.send("ADDED", config_map("small", 3))
            await until(lambda: len(heard.changes) == 2, "both changes")
        assert [change.name for change in heard.changes] == ["big", "small"]
        assert heard.blind == []


async def test_a_dead_server_is_reported_and_nothing_is_missed() -> None:
    async with fake_apiserver() as (server, kube):
        heard = Heard()
        async with watching(kube, heard) as watcher:
            await watcher.synced(within=10)
            await until(lambda: server.watches, "the watch to open")
            server.send("ADDED", config_map("a", 5))
            await until(lambda: heard.changes, "a change")
            await server.kill()
            await until(lambda: heard.blind, "blindness to be reported")
            assert watcher.blind == heard.blind
            await server.revive()
            await until(lambda: len(heard.blind) == 2, "the end of blindness")
            server.send("MODIFIED", config_map("a", 6))
            await until(lambda: len(heard.changes) == 2, "a change after the return")
            assert watcher.blind == []
        assert heard.told == [("ADDED", "a"), ("MODIFIED", "a")]
        began, ended = heard.blind
        assert ended.ended_ns is not None
        assert ended.ended_ns > began.began_ns
        assert not ended.lost
        assert server.watch_requests[-1].query["resourceVersion"] == "5"


async def test_a_silent_server_is_found_although_the_connection_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "_PULSE_SECONDS", 0.02)
    monkeypatch.setattr(watch, "_PULSE_TIMEOUT_SECONDS", 0.2)
    async with fake_apiserver() as (server, kube):
        heard = Heard()
        async with watching(kube, heard) as watcher:
            await watcher.synced(within=10)
            await until(lambda: server.watches, "the watch to open")
            server.silent.set()
            await until(lambda: heard.blind, "blindness to be reported")
            server.silent.clear()
            # Requests that hang in the silence stay there; the watcher must not wait for them.
            await until(lambda: len(heard.blind) == 2, "the end of blindness")
            server.send("ADDED", config_map("a", 2))
            await until(lambda: heard.changes, "a change after the silence")


async def test_a_torn_line_is_read_again_from_the_last_version() -> None:
    async with fake_apiserver() as (server, kube):
        heard = Heard()
        async with watching(kube, heard) as watcher:
            await watcher.synced(within=10)
            await until(lambda: server.watches, "the watch to open")
            server.send("ADDED", config_map("a", 3))
            server.send_raw(b'{"type":"MODIFIED","object":{"metadata":{"na')
            server.end_watch()
            await until(lambda: len(server.watches) == 2, "the watch to open again")
            server.send("MODIFIED", config_map("a", 4))
            await until(lambda: len(heard.changes) == 2, "the change that was torn")
        assert server.watch_requests[-1].query["resourceVersion"] == "3"


async def test_an_error_of_the_callback_leaves_as_itself() -> None:
    def refuse(_: Change) -> None:
        raise ArithmeticError("no")

    async with fake_apiserver() as (server, kube):
        server.listing = [config_map("a", 1)]
        with pytest.raises(ArithmeticError):
            async with Watcher(kube, [SPEC], refuse):
                await asyncio.Event().wait()


async def test_an_error_of_the_body_leaves_as_itself_and_nothing_outlives_the_scope() -> None:
    async with fake_apiserver() as (_, kube):
        before = len(asyncio.all_tasks())
        with pytest.raises(KeyError):
            async with Watcher(kube, [SPEC, SPEC], Heard()) as watcher:
                await watcher.synced(within=10)
                raise KeyError("body")
        names = [task for task in asyncio.all_tasks() if "harness" in repr(task.get_coro())]
        assert names == [], f"{before} before"


async def test_what_cannot_be_watched_at_all_is_an_error_not_an_endless_wait() -> None:
    async with fake_apiserver() as (server, kube):
        refusal = status(403, "Forbidden", 'User "x" cannot list resource "configmaps"')
        server.answer("/api/v1/namespaces/ns/configmaps", refusal, code=403)
        with pytest.raises(ApiError) as caught:
            async with Watcher(kube, [SPEC], Heard()) as watcher:
                await watcher.synced(within=10)
        assert caught.value.stage == "authorization"


async def test_a_kind_that_is_not_served_is_no_error_of_a_manifest() -> None:
    unknown = WatchSpec(api_version="v9", kind="Ghost")
    async with fake_apiserver() as (_, kube):
        with pytest.raises(ClusterError, match="does not serve the kind Ghost"):
            async with Watcher(kube, [unknown], Heard()) as watcher:
                await watcher.synced(within=10)


async def test_who_waits_for_lists_that_do_not_come_is_told_why() -> None:
    async with fake_apiserver(patience=0.01) as (server, kube):
        full = status(503, "ServiceUnavailable", "etcd has no leader")
        server.answer("/api/v1/namespaces/ns/configmaps", full, code=503)
        with pytest.raises(ClusterError, match=r"ConfigMap in ns: .*etcd has no leader"):
            async with Watcher(kube, [SPEC], Heard()) as watcher:
                await watcher.synced(within=0.5)


async def test_the_store_holds_the_latest_and_wakes_who_waits() -> None:
    async with fake_apiserver() as (server, kube):
        server.listing = [config_map("a", 1)]
        store = Store()
        async with Watcher(kube, [SPEC], store.feed) as watcher:
            await watcher.synced(within=10)
            await until(lambda: server.watches, "the watch to open")
            server.send("ADDED", config_map("b", 2))
            found = await store.wait(lambda s: s.get("ConfigMap", "b", "ns"), within=5, what="b")
            assert found is not None
            assert found["metadata"]["resourceVersion"] == "2"
            server.send("DELETED", config_map("a", 3))
            await store.wait(lambda s: s.get("ConfigMap", "a", "ns") is None, within=5, what="no a")
            assert store.all("ConfigMap", "ns") == [found]
            assert store.all("ConfigMap", "elsewhere") == []
            with pytest.raises(WaitTimeout, match="c to appear"):
                await store.wait(
                    lambda s: s.get("ConfigMap", "c", "ns"), within=0.05, what="c to appear"
                )


async def test_differences_put_deletions_first() -> None:
    known = {("ns", "x"): config_map("x", 1, uid="1")}
    verbs = [verb for verb, _ in differences(known, [config_map("x", 2, uid="2")])]
    assert verbs == ["DELETED", "ADDED"]
