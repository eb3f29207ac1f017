"""The sample service as a real process, with no database behind it: probes, knobs, signals, exits.

What needs a database is tested on a cluster.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import paths

SOURCE = paths.apps() / "images/sample-service"
PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Service:
    env: dict[str, str]
    role: str = "checkout"
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.http, self.admin, self.metrics = free_port(), free_port(), free_port()
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SOURCE),
            "DATABASE_HOST": "127.0.0.1",
            "DATABASE_PORT": str(free_port()),
            "DATABASE_NAME": "none",
            "DATABASE_USER": "none",
            "DATABASE_PASSWORD": "none",
            "LISTEN": f"127.0.0.1:{self.http}",
            "ADMIN_BIND": f"127.0.0.1:{self.admin}",
            "METRICS_BIND": f"127.0.0.1:{self.metrics}",
            **self.env,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sampleservice", self.role],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def get(self, path: str, port: int | None = None, timeout: float = PATIENCE) -> tuple[int, str]:
        return self._ask(f"http://127.0.0.1:{port or self.http}{path}", None, timeout)

    def turn(self, path: str) -> tuple[int, str]:
        return self._ask(f"http://127.0.0.1:{self.admin}{path}", b"", PATIENCE)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/state", self.admin)[1])
        return found

    def _ask(self, url: str, data: bytes | None, timeout: float) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, data, timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def answers(self, path: str, port: int, timeout: float = PATIENCE) -> bool:
        try:
            self.get(path, port, timeout)
        except OSError:
            return False
        return True

    def ready(self) -> Service:
        until(lambda: self.answers("/healthz", self.http), "the service listens")
        return self

    def leave(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def output(self) -> str:
        return self.process.communicate(timeout=PATIENCE)[0]


def until(check: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, f"waited {PATIENCE:g} s in vain: {what}"
        time.sleep(0.05)


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def one(role: str = "checkout", **env: str) -> Service:
        started.append(Service(env, role))
        return started[-1]

    yield one
    for service in started:
        service.process.kill()
        service.process.communicate()


Start = Callable[..., Service]


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    """One service for the tests that leave it as they found it."""
    service = Service({"READY_SECONDS": "0.3", "POOL_WAIT_SECONDS": "0.5", "BUILD_ID": "9.9"})
    yield service.ready()
    service.process.kill()
    service.process.communicate()


def test_process_probes_answer_without_the_database(running: Service) -> None:
    service = running
    for path in ("/healthz", "/healthz/live"):
        assert service.get(path)[0] == 200
    for path in ("/healthz/ready", "/ready", "/healthz/db"):
        code, body = service.get(path)
        assert code == 503
        assert "within 0.3 s" in body
    code, body = service.get("/api/v1/health")
    assert code == 503
    assert "within 0.5 s" in body
    assert service.get("/products/1")[0] == 503


def test_which_probes_ask_the_database_is_a_setting(start: Start) -> None:
    service = start(PROBES_WITH_DATABASE="/healthz/live", READY_SECONDS="0.3").ready()
    assert service.get("/healthz/live")[0] == 503
    assert service.get("/healthz/ready")[0] == 200


def test_a_deadlock_hangs_every_request_until_reset(running: Service) -> None:
    service = running
    assert service.turn("/deadlock?seconds=60")[0] == 200
    until(lambda: not service.answers("/healthz/live", service.http, 0.5), "it hangs")
    assert 50 < service.state()["knobs"]["deadlock"] <= 60
    assert service.process.poll() is None
    service.turn("/reset")
    assert service.get("/healthz/live")[0] == 200
    assert service.state()["knobs"] == {}


def test_a_deadlocked_process_does_not_leave_on_sigterm(start: Start) -> None:
    service = start().ready()
    service.turn("/deadlock?seconds=60")
    until(lambda: not service.answers("/healthz/live", service.http, 0.5), "it hangs")
    service.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        service.process.wait(1)
    service.turn("/reset")
    assert service.process.wait(PATIENCE) == 0


def test_a_hang_ends_by_itself(running: Service) -> None:
    service = running
    began = time.monotonic()
    service.turn("/hang?seconds=1")
    assert service.get("/healthz")[0] == 200
    assert time.monotonic() - began > 0.8
    until(lambda: service.state()["knobs"] == {}, "the knob is off")


def test_memory_grows_to_its_limit_and_is_given_back(running: Service) -> None:
    service = running

    def resident_mb() -> float:
        return int(service.state()["VmRSS"].split()[0]) / 1000

    before = resident_mb()
    service.turn("/memory?mb_per_second=200&limit_mb=60&seconds=60")
    until(lambda: sum(service.state()["memory_mb"].values()) == 60, "60 MB are held")
    assert resident_mb() - before > 50
    assert service.get("/healthz")[0] == 200
    service.turn("/reset")
    until(lambda: resident_mb() - before < 15, "memory is given back")


def test_memory_growth_ends_by_itself(running: Service) -> None:
    service = running
    service.turn("/memory?mb_per_second=20&seconds=1.5")
    until(lambda: bool(service.state()["memory_mb"]), "memory grows")
    until(lambda: service.state()["memory_mb"] == {}, "memory is given back")
    until(lambda: service.state()["knobs"] == {}, "the knob is off")


def test_growth_can_be_a_setting(start: Start) -> None:
    service = start(MEMORY_GROWTH_MB_PER_SECOND="40", HEAP_PREALLOCATE_MB="30").ready()
    assert service.state()["memory_mb"]["heap"] == 30
    until(lambda: sum(service.state()["memory_mb"].values()) > 40, "it grows")


def test_exit_and_wrong_calls(start: Start) -> None:
    service = start().ready()
    assert service.turn("/explode")[0] == 400
    assert service.turn("/hang?seconds=9999")[0] == 400
    assert service.turn("/exit?code=999")[0] == 400
    assert service.turn("/exit?code=7") == (200, '{"knob": "exit", "code": 7}\n')
    assert service.process.wait(PATIENCE) == 7


def test_state_says_what_the_process_may_do(running: Service) -> None:
    state = running.state()
    assert state["build_id"] == "9.9"
    assert state["uid"] == os.geteuid()
    assert {"CapEff", "NoNewPrivs", "Seccomp", "token", "interfaces", "pool"} <= state.keys()
    assert state["pool"]["max"] == 10


def test_metrics_have_an_address_of_their_own(running: Service) -> None:
    service = running
    service.get("/healthz")
    text = service.get("/metrics", service.metrics)[1]
    assert 'http_requests_total{code="200",handler="process"}' in text
    assert 'database_pool_connections{state="max"} 10.0' in text
    assert service.get("/metrics")[0] == 404


def test_a_start_takes_its_time_and_can_be_interrupted(start: Start) -> None:
    service = start(START_DELAY_SECONDS="60")
    until(lambda: service.answers("/state", service.admin), "the admin port answers")
    assert not service.answers("/healthz", service.http)
    assert service.leave() == 0


def test_in_flight_requests_are_drained(start: Start) -> None:
    service = start(POOL_WAIT_SECONDS="1.5", SHUTDOWN_DELAY_SECONDS="0.5").ready()
    with socket.create_connection(("127.0.0.1", service.http), PATIENCE) as client:
        client.sendall(b"GET /products/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        until(lambda: service.state()["pool"]["waiting"] == 1, "the request waits for the pool")
        service.process.send_signal(signal.SIGTERM)
        # Still accepting: endpoints are withdrawn later than the signal arrives.
        assert service.get("/healthz")[0] == 200
        assert client.makefile().readline().startswith("HTTP/1.1 503")
    assert service.process.wait(PATIENCE) == 0


def test_web_works_as_long_as_it_is_asked_to(start: Start) -> None:
    service = start("web", GREETING="hello").ready()
    began = time.monotonic()
    assert service.get("/work?seconds=0.3") == (200, '{"greeting":"hello"}')
    assert time.monotonic() - began >= 0.3
    for wrong in ("", "?seconds=long", "?seconds=-1", "?seconds=nan", "?seconds=601"):
        assert service.get(f"/work{wrong}")[0] == 400


def test_draining_is_bounded(start: Start) -> None:
    service = start(POOL_WAIT_SECONDS="60", DRAIN_SECONDS="1").ready()
    with socket.create_connection(("127.0.0.1", service.http), PATIENCE) as client:
        client.sendall(b"GET /products/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: service.state()["pool"]["waiting"] == 1, "the request waits for the pool")
        assert service.leave() == 0


def test_sigterm_can_be_ignored(start: Start) -> None:
    service = start(IGNORE_SIGTERM="true").ready()
    service.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        service.process.wait(1)
    assert service.get("/healthz")[0] == 200


@pytest.mark.parametrize("code", [0, 3])
def test_exit_code_at_start(start: Start, code: int) -> None:
    service = start(EXIT_AT_START=str(code))
    assert service.process.wait(PATIENCE) == code


def test_writing_at_start(start: Start, tmp_path: Path) -> None:
    start(WRITE_AT_START=str(tmp_path / "config")).ready()
    assert (tmp_path / "config").read_text().startswith("written by")
    failed = start(WRITE_AT_START=str(tmp_path / "none" / "config"))
    assert failed.process.wait(PATIENCE) == 1
    assert "cannot write" in failed.output()


def test_a_missing_variable_ends_the_process_with_its_name(start: Start) -> None:
    service = start(DATABASE_HOST="")
    assert service.process.wait(PATIENCE) == 1
    assert "DATABASE_HOST is not set" in service.output()


def test_cpu_is_burnt_per_request_and_per_error(start: Start) -> None:
    service = start(
        CPU_MS_PER_REQUEST="100", CPU_MS_PER_ERROR="300", POOL_WAIT_SECONDS="0.1"
    ).ready()

    def cpu_seconds() -> float:
        fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = cpu_seconds()
    service.get("/healthz")
    plain = cpu_seconds() - before
    assert 0.08 <= plain < 0.35
    before = cpu_seconds()
    assert service.get("/products/1")[0] == 503
    until(lambda: cpu_seconds() - before > 0.35, "the error is paid for after it was answered")


def test_the_worker_has_probes_and_no_api(start: Start) -> None:
    service = start("worker", POOL_WAIT_SECONDS="0.5").ready()
    assert service.get("/healthz/live")[0] == 200
    assert service.get("/orders/1")[0] == 404
    assert service.leave() == 0
