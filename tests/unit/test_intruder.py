"""The intruder's techniques: what is a yes, what a no, what neither, and that nothing is left."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.faults import intruder
from harness.faults.intruder import RefusedError, Technique

SOURCE = Path(intruder.__file__).read_bytes()


def run(technique: str, mode: str) -> Any:
    """As it is run in a container: from standard input, by a bare Python."""
    words = [sys.executable, "-IS", "-", technique, mode]
    done = subprocess.run(words, input=SOURCE, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout) if done.stdout else None


def failing(error: Exception) -> Technique:
    def fails() -> str:
        raise error

    return Technique("the target", fails, "the permitted", fails)


@pytest.mark.parametrize("technique", intruder.TECHNIQUES)
def test_a_control_run_reaches_only_for_what_is_permitted_and_gets_it(technique: str) -> None:
    (tried,) = run(technique, "permitted")
    assert (tried["permitted"], tried["answer"]) == (True, "allowed")
    assert f"uid {os.getuid()}, CapEff: " in tried["text"]


def test_an_attempt_comes_with_its_control() -> None:
    control, tried = run("payload-drop", "attempt")
    assert (control["permitted"], tried["permitted"]) == (True, False)
    assert "/tmp/.harness-payload was written and executed" in tried["text"]
    assert not Path("/tmp/.harness-payload").exists()


@pytest.mark.parametrize(
    ("error", "answer", "code"),
    [
        (OSError(errno.EPERM, "no"), "refused", "EPERM"),
        (OSError(errno.EROFS, "no"), "refused", "EROFS"),
        (OSError(errno.ENOENT, "nothing there"), "silent", "ENOENT"),
        (TimeoutError("late"), "silent", ""),
        (LookupError("no such program"), "silent", ""),
        (RefusedError("403", "anonymous"), "refused", "403"),
    ],
)
def test_only_a_definite_no_is_a_refusal(error: Exception, answer: str, code: str) -> None:
    for permitted in (True, False):
        got = intruder.answer(failing(error), permitted=permitted)
        assert (got["answer"], got["code"], got["permitted"]) == (answer, code, permitted)


def nowhere_but_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int) -> None:
    for name in (*intruder.PLACES, "shm"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(intruder, "ROOT", tmp_path)
    monkeypatch.setattr(intruder, "MEMORY", tmp_path / "shm")
    write = intruder._write

    def refuse(path: Path) -> None:
        if path.parent != tmp_path / "shm":
            raise OSError(number, "no")
        write(path)

    monkeypatch.setattr(intruder, "_write", refuse)


def test_a_read_only_root_refuses_a_payload_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere_but_memory(monkeypatch, tmp_path, errno.EROFS)
    with pytest.raises(RefusedError, match="/var/tmp: EROFS") as caught:
        intruder.drop_payload()
    assert caught.value.code == "EROFS"
    assert "was written" in intruder.write_in_memory()
    assert list(tmp_path.rglob(intruder.PAYLOAD)) == []


def test_a_full_disk_is_no_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere_but_memory(monkeypatch, tmp_path, errno.ENOSPC)
    got = intruder.answer(intruder.TECHNIQUES["payload-drop"], permitted=False)
    assert (got["answer"], got["code"]) == ("silent", "ENOSPC")


def test_a_mount_that_is_meant_to_be_written_is_not_the_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intruder, "PLACES", ("dev/shm",))
    with pytest.raises(RefusedError, match="no file in"):
        intruder.drop_payload()


def test_what_a_killed_attempt_left_is_cleaned_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(intruder, "ROOT", tmp_path)
    monkeypatch.setattr(intruder, "MEMORY", tmp_path / "shm")
    for place in (tmp_path / "tmp", tmp_path / "shm", tmp_path):
        place.mkdir(exist_ok=True)
        (place / intruder.PAYLOAD).touch()
    for _ in range(2):
        intruder.clean()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_program_has_the_effective_uid_of_the_kernels_own_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert intruder._effective_uid("/bin/sh", "-c", "exit 3") == os.geteuid()
    monkeypatch.setattr(intruder, "_is_setuid_root", lambda path: True)
    monkeypatch.setattr(intruder, "_effective_uid", lambda program: 1000)
    with pytest.raises(RefusedError, match="/usr/bin/su ran with effective uid 1000"):
        intruder.run_setuid_root()


def test_without_a_setuid_program_nobody_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intruder, "SETUID", ("/nowhere/su", sys.executable))
    got = intruder.answer(intruder.TECHNIQUES["setuid-root"], permitted=False)
    assert got["answer"] == "silent"


class Server:
    """An API server that gives one answer and remembers what it was asked."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status, self._body = status, json.dumps(body)
        self.headers: dict[str, str] = {}

    def __call__(self, host: str, port: int, **_: Any) -> Server:
        assert (host, port) == ("10.0.0.1", 443)
        return self

    def request(self, method: str, path: str, body: str, headers: dict[str, str]) -> None:
        self.headers = headers

    def getresponse(self) -> Server:
        return self

    def read(self) -> str:
        return self._body


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What Kubernetes gives to a container; returns where its token would be."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(intruder, "TOKEN", tmp_path / "token")
    return tmp_path / "token"


def test_a_token_that_is_read_speaks_for_its_pod_and_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch, pod: Path
) -> None:
    pod.write_text("t0ken\n")
    server = Server(201, {"status": {"userInfo": {"username": "system:serviceaccount:n:d"}}})
    monkeypatch.setattr("http.client.HTTPSConnection", server)
    got = intruder.answer(intruder.TECHNIQUES["token"], permitted=False)
    assert got["answer"] == "allowed"
    assert "token read; the API server answered system:serviceaccount:n:d" in str(got["text"])
    assert server.headers["Authorization"] == "Bearer t0ken"
    assert "t0ken" not in str(got)


@pytest.mark.parametrize("status", [401, 403])
def test_without_a_token_the_api_server_refuses(
    monkeypatch: pytest.MonkeyPatch, pod: Path, status: int
) -> None:
    server = Server(status, {"message": "who are you"})
    monkeypatch.setattr("http.client.HTTPSConnection", server)
    got = intruder.answer(intruder.TECHNIQUES["token"], permitted=False)
    assert (got["answer"], got["code"]) == ("refused", str(status))
    assert f"no token; the API server answered {status}: who are you" in str(got["text"])
    assert "Authorization" not in server.headers


def test_an_api_server_in_trouble_has_not_refused(
    monkeypatch: pytest.MonkeyPatch, pod: Path
) -> None:
    monkeypatch.setattr("http.client.HTTPSConnection", Server(500, {"message": "etcd is gone"}))
    assert intruder.answer(intruder.TECHNIQUES["token"], permitted=False)["answer"] == "silent"
