"""The load generator as a trial uses it: a real Locust process against a server in this one."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import psutil
import pytest
from load_target import Target, of_endpoint, serving

from harness.declare import Load
from harness.errors import LoadError
from harness.history import outcomes
from harness.history.arrivals import SECOND
from harness.history.requests_tail import RequestsTail
from harness.load.generator import Generator, getting_ready
from harness.load.plan import plan

pytestmark = pytest.mark.asyncio

_STALL = 6 * SECOND // 10


@pytest.fixture
def target() -> Iterator[Target]:
    with serving() as running:
        yield running


async def until(condition: Callable[[], bool], what: str, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(0.01)


def header_of(path: Path) -> dict[str, object]:
    first = orjson.loads(path.read_bytes().split(b"\n", 1)[0])
    header: dict[str, object] = first["header"]
    return header


async def test_every_outcome_is_told_apart_and_no_request_is_lost_or_repeated(
    target: Target, tmp_path: Path
) -> None:
    expected = {
        "GET /": 200,
        "POST /orders": 200,
        "GET /until-close": 200,
        "GET /early-hints": 200,
        "GET /moved": 302,
        "GET /unavailable": 503,
        "GET /reset": outcomes.RESET,
        "GET /close": outcomes.CLOSED,
        "GET /cut": outcomes.CLOSED,
        "GET /junk": outcomes.BAD_RESPONSE,
        "GET /hang": outcomes.TIMEOUT,
    }
    load = Load(rate=300, endpoints=dict.fromkeys(expected, 1.0), timeout="1s")
    path = tmp_path / "requests.jsonl"
    async with Generator.start(target.url, load, path, 11) as generator:
        await until(lambda: len(generator.requests()) > 150, "150 requests")
        summary = await generator.stop()
    requests = RequestsTail(path).read()
    # Whatever was due in the very instant of the stop was not sent any more, and says so.
    got = {
        name: set(of_endpoint(requests, name).status.tolist()) - {outcomes.NOT_SENT}
        for name in requests.endpoints
    }
    assert got == {name: {status} for name, status in expected.items()}
    assert len(requests) == requests.scheduled == summary.requests
    assert (requests.status != outcomes.NOT_SENT).sum() == len(target.seen)
    assert requests.settled
    assert (requests.start >= requests.intended).all()
    assert (requests.end >= requests.start).all()
    assert summary.availability == pytest.approx(5 / 11, abs=0.15)
    assert summary.seed == 11
    assert of_endpoint(requests, "GET /hang").percentiles().max >= 1.0


async def test_a_stall_is_seen_by_those_who_came_during_it_and_a_stopped_generator_is_not_a_stall(
    target: Target, tmp_path: Path
) -> None:
    load = Load(rate=100, arrivals="poisson")
    async with Generator.start(target.url, load, tmp_path / "requests.jsonl", 5) as generator:
        begin = time.monotonic_ns()
        await until(lambda: generator.requests().complete_until(begin + SECOND // 4), "0.25 s")
        target.answers.clear()
        stalled = time.monotonic_ns()
        await until(lambda: time.monotonic_ns() > stalled + _STALL, "the stall")
        assert not generator.requests().complete_until(stalled + _STALL // 2)
        target.answers.set()
        freed = time.monotonic_ns()
        await until(lambda: generator.requests().complete_until(freed), "the answers")
        os.kill(generator.pid, signal.SIGSTOP)
        stopped = time.monotonic_ns()
        await until(lambda: time.monotonic_ns() > stopped + _STALL, "the starvation")
        os.kill(generator.pid, signal.SIGCONT)
        await generator.stop()
    requests = generator.requests()
    before = requests.between(begin, begin + SECOND // 4)
    during = requests.between(stalled, freed)
    assert before.availability() == during.availability() == 1.0
    # Arrivals went on while nothing was answered, each later one waiting less: about half of them
    # waited over half the time. A closed loop would have sent one request and shown one slow one.
    assert len(during) == pytest.approx(100 * (freed - stalled) / SECOND, rel=0.4)
    assert during.percentiles().p50 > 0.4 * _STALL / SECOND
    assert during.percentiles().p99 > 0.9 * _STALL / SECOND
    assert before.percentiles().p50 < 0.2 * _STALL / SECOND
    assert not requests.generator_health(stalled, freed).fell_behind
    starved = requests.generator_health(stopped, stopped + _STALL)
    assert starved.fell_behind
    assert starved.lag_p99_s > 0.5 * _STALL / SECOND


async def test_a_target_that_refuses_is_recorded_and_a_limit_ends_the_load(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, path = f"http://127.0.0.1:{port}", tmp_path / "requests.jsonl"
    async with Generator.start(url, Load(rate=40), path, 1, duration_limit=0.5) as generator:
        await until(lambda: generator.requests().recorded_until is None, "the end by itself")
        summary = await generator.stop()
    requests = generator.requests()
    assert summary.requests == len(requests) == 20
    assert summary.outcomes == {"connection refused": 20}
    assert summary.availability == 0.0
    assert "nothing answered" in summary.describe()
    assert not requests.reached()
    assert not summary.health.fell_behind


async def test_arrivals_behind_too_many_in_flight_are_held_back_which_is_not_falling_behind(
    target: Target, tmp_path: Path
) -> None:
    made = plan(target.url, Load(rate=100), requests=tmp_path / "requests.jsonl", seed=1)
    target.answers.clear()
    tail = RequestsTail(made.requests)
    with pytest.raises(ZeroDivisionError):
        async with Generator.run(replace(made, max_in_flight=20)):
            await until(lambda: len(tail.read()) >= 10, "ten arrivals over the cap")
            raise ZeroDivisionError
    requests = tail.read()
    assert tail.ended is not None
    assert tail.ended["reason"] == "parent gone"
    assert requests.outcomes()["unfinished"] == 20
    held_back = outcomes.OUTCOMES[outcomes.HELD_BACK]
    assert set(requests.outcomes()) <= {"unfinished", "not sent", held_back}
    last = int(requests.intended[requests.status == outcomes.HELD_BACK][-1])
    assert requests.generator_health(0, last).sent_ratio == 1


async def test_a_generator_that_got_ready_before_is_the_one_that_sends_and_ends_without_a_plan(
    target: Target, tmp_path: Path
) -> None:
    path = tmp_path / "requests.jsonl"
    async with getting_ready(path) as process:
        load = Generator.start(target.url, Load(rate=40), path, 1, process=process)
        async with load as generator:
            assert generator.pid == process.pid
            await until(lambda: len(target.seen) > 3, "four requests")
        assert process.returncode == 0
    assert RequestsTail(path).read().outcomes()["200"] == len(target.seen)
    async with getting_ready(tmp_path / "never.jsonl") as process:
        pass
    assert process.returncode is not None


async def test_a_disk_that_fills_up_ends_the_load_with_an_error(
    target: Target, tmp_path: Path
) -> None:
    path = tmp_path / "requests.jsonl"
    with pytest.raises(LoadError, match=r"cannot write .*requests\.jsonl") as caught:
        async with Generator.start(target.url, Load(rate=100), path, 1) as generator:
            # Its last words go into a file as well, and have to fit.
            size = path.stat().st_size + 2000
            resource.prlimit(generator.pid, resource.RLIMIT_FSIZE, (size, size))
            # Not when it is gone: its exit code becomes known to us a moment later.
            await until(lambda: generator._process.returncode is not None, "the end")
            generator.check()
    assert "free space" in caught.value.remedy
    # What was written before can still be read, torn line and all.
    assert RequestsTail(path).read().header is not None
    with pytest.raises(LoadError, match="already holds a recording"):
        async with Generator.start(target.url, Load(rate=100), path, 1):
            pass


async def test_a_generator_that_was_killed_is_noticed(target: Target, tmp_path: Path) -> None:
    async with Generator.start(target.url, Load(rate=20), tmp_path / "requests.jsonl", 1) as killed:
        killed.check()
        os.kill(killed.pid, signal.SIGKILL)
        await until(lambda: killed._process.returncode is not None, "its death")
        with pytest.raises(LoadError, match="killed by SIGKILL"):
            killed.check()


_PARENT = """
import asyncio, os, sys
from pathlib import Path
from harness.declare import Load
from harness.load.generator import Generator
from harness.load.plan import plan

async def main():
    async with Generator.start(sys.argv[1], Load(rate=40), Path(sys.argv[2]), 1):
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""


async def test_the_generator_ends_when_its_parent_is_killed(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, target.url, str(path), stderr=subprocess.DEVNULL
    )
    assert await parent.wait() == -signal.SIGKILL
    child = header_of(path)["pid"]
    assert isinstance(child, int)
    await until(lambda: not psutil.pid_exists(child), "the end of the generator", within=5.0)
    tail = RequestsTail(path)
    tail.read()
    assert tail.ended is not None
    assert tail.ended["reason"] == "parent gone"


_LOCUSTFILE = """
from locust import FastHttpUser, HttpUser, constant, task

class Shopper(HttpUser):
    wait_time = constant(0.02)

    @task
    def shop(self):
        self.client.get("/")
        self.client.get("/unavailable")
        self.client.get("http://10.255.255.1/elsewhere", name="elsewhere")
        with self.client.get("/unavailable", name="expected", catch_response=True) as answer:
            answer.success()

class Fast(FastHttpUser):
    wait_time = constant(0.02)

    @task
    def reset(self):
        self.client.get("/reset")
"""


async def test_a_users_own_locustfile_runs_and_is_called_a_closed_loop(
    target: Target, tmp_path: Path
) -> None:
    own, path = tmp_path / "shop.py", tmp_path / "requests.jsonl"
    own.write_text(_LOCUSTFILE)
    load = Load(rate=2, locustfile=str(own))
    async with Generator.start(target.url, load, path, 1) as generator:
        await until(lambda: len(set(generator.requests().endpoint.tolist())) == 5, "5 endpoints")
        summary = await generator.stop()
    requests = generator.requests()
    assert not requests.open_loop
    assert not summary.open_loop
    assert "closed-loop" in summary.describe()
    assert (requests.intended == requests.start).all()
    outcome_of = {e: set(of_endpoint(requests, e).outcomes()) for e in requests.endpoints}
    # Nothing leaves this machine, whatever a task asks for.
    assert outcome_of.pop("GET elsewhere") == {"other error"}
    assert outcome_of.pop("GET expected") == {"accepted by the user's locustfile"}
    assert outcome_of == {
        "GET /": {"200"},
        "GET /unavailable": {"503"},
        "GET /reset": {"connection reset"},
    }


async def test_a_locustfile_with_an_error_is_named(target: Target, tmp_path: Path) -> None:
    async def refused(name: str, text: str) -> LoadError:
        own = tmp_path / name
        own.write_text(text)
        load = Load(rate=1, locustfile=str(own))
        with pytest.raises(LoadError) as caught:
            async with Generator.start(target.url, load, own.with_suffix(".jsonl"), 1):
                pass
        return caught.value

    wrong, empty = await asyncio.gather(
        refused("wrong.py", "import locust\nimport nowhere_at_all\n"),
        refused("empty.py", "from locust import HttpUser\n"),
    )
    assert "wrong.py fails, line 2: ModuleNotFoundError" in wrong.message
    assert "empty.py defines no Locust user class" in empty.message
    assert "mend the locustfile" in wrong.remedy
