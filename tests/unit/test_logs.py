"""Which container runs count as crashes, and that each log is fetched once."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from fake_apiserver import fake_apiserver, status

from harness.kube.changes import Change
from harness.kube.crash_logs import CrashLog, crash_logs, crashes


def pod(*containers: dict[str, Any], restart_policy: str = "Always") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": "p", "uid": "u"},
        "spec": {"restartPolicy": restart_policy},
        "status": {"containerStatuses": list(containers)},
    }


def ended(code: int, run: str, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "containerID": run}}


def change(obj: dict[str, Any]) -> Change:
    return Change(kind="Pod", verb="MODIFIED", object=obj, monotonic_ns=0)


def test_a_run_that_was_started_again_is_a_crash_whatever_its_code() -> None:
    restarted = {"name": "app", "restartCount": 2, "lastState": ended(0, "c1", "Completed")}
    (crash,) = crashes(pod(restarted))
    assert (crash.container_id, crash.restarts, crash.exit_code) == ("c1", 2, 0)
    assert crash.previous


def test_a_run_that_just_ended_waits_for_its_place_as_previous() -> None:
    dead = {"name": "app", "restartCount": 0, "state": ended(1, "c1")}
    assert list(crashes(pod(dead))) == []


def test_where_nothing_is_restarted_failures_count_and_completions_do_not() -> None:
    failed = {"name": "app", "restartCount": 0, "state": ended(1, "c1")}
    done = {"name": "side", "restartCount": 0, "state": ended(0, "c2")}
    (crash,) = crashes(pod(failed, done, restart_policy="Never"))
    assert (crash.container, crash.previous) == ("app", False)


@pytest.mark.asyncio
async def test_each_run_is_fetched_once_and_a_lost_log_says_why() -> None:
    asked: list[dict[str, str]] = []

    async def log(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        if request.query["container"] == "gone":
            text = "previous terminated container not found"
            return web.json_response(status(400, "BadRequest", text), status=400)
        return web.Response(text="last words\n")

    app = {"name": "app", "restartCount": 1, "lastState": ended(137, "c1", "OOMKilled")}
    gone = {"name": "gone", "restartCount": 1, "lastState": ended(1, "c9")}
    again = {"name": "app", "restartCount": 2, "lastState": ended(1, "c2")}
    got: list[CrashLog] = []
    async with fake_apiserver() as (server, kube):
        server.on("/api/v1/namespaces/ns/pods/p/log", log)
        async with crash_logs(kube, got.append) as logs:
            logs.feed(change(pod(app, gone)))
            logs.feed(change(pod(app, gone)))
            await logs.settled()
            logs.feed(change(pod(again)))
            await logs.settled()
    assert [(each.crash.container_id, each.text) for each in got] == [
        ("c1", "last words\n"),
        ("c9", ""),
        ("c2", "last words\n"),
    ]
    assert "previous terminated container not found" in got[1].missing
    assert asked[0] == {
        "container": "app",
        "previous": "true",
        "tailLines": "200",
        "limitBytes": "262144",
    }
