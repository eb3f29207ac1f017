"""Finding a container engine: the one that runs first, stale leftovers seen through."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths
from harness.errors import HostError
from harness.host import apt, engine, remains

# Stands in for a client: answers as the server in DOCKER_HOST would, if that socket's file exists.
FAKE_DOCKER = """#!/bin/sh
[ "$1" = info ] || exit 0
case $DOCKER_HOST in
  unix://*) [ -e "${DOCKER_HOST#unix://}" ] && echo 26.1.5 ;;
  "") [ -n "$DEFAULT_ANSWERS" ] && echo 28.0.0 ;;
esac
exit 0
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "docker").write_text(FAKE_DOCKER)
    (tools / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DEFAULT_ANSWERS", raising=False)
    monkeypatch.setattr(engine, "_ANNOUNCEMENT", tmp_path / "announcement.json")
    paths.engine().mkdir(parents=True)
    return tmp_path


def install(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "installed").touch()


def test_no_engine_is_none() -> None:
    assert engine.find_engine() is None


def test_the_engine_that_runs_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    install(paths.engine())
    (paths.engine() / "docker.sock").touch()
    monkeypatch.setenv("DEFAULT_ANSWERS", "yes")
    found = engine.find_engine()
    assert found is not None
    assert found.kind == "running"
    assert "DOCKER_CONFIG" not in found.env or found.env["DOCKER_CONFIG"] == os.environ.get(
        "DOCKER_CONFIG"
    )


def test_ours_when_it_runs() -> None:
    install(paths.engine())
    assert engine.find_engine() is None, "unpacked, but nothing listens"
    (paths.engine() / "docker.sock").touch()
    found = engine.find_engine()
    assert found is not None
    assert found.kind == "private"
    assert found.env["DOCKER_HOST"] == f"unix://{paths.engine()}/docker.sock"
    assert found.env["PATH"].startswith(f"{paths.engine()}/bin:")


def test_an_engine_of_another_state_folder_is_used(machine: Path) -> None:
    other = machine / "other"
    install(other)
    (other / "docker.sock").touch()
    (machine / "announcement.json").write_text(json.dumps({"engine": str(other)}))
    found = engine.find_engine()
    assert found is not None
    assert found.env["DOCKER_HOST"] == f"unix://{other}/docker.sock"


def test_a_pid_that_belongs_to_somebody_else_is_stale() -> None:
    # After a restart of the machine the number in the file is anybody's; here it is this test's.
    (paths.engine() / "docker.pid").write_text(str(os.getpid()))
    (paths.engine() / "docker.sock").touch()
    (paths.engine() / "exec").mkdir()
    assert remains.alive() is None
    remains.clear_remains()
    assert not (paths.engine() / "docker.pid").exists()
    assert not (paths.engine() / "docker.sock").exists()
    assert not (paths.engine() / "exec").exists()


def test_a_living_engine_is_left_alone() -> None:
    words = [sys.executable, "-c", "print('up', flush=True); input()", str(paths.engine())]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (paths.engine() / "docker.pid").write_text(str(process.pid))
        assert remains.alive() == process.pid
        remains.clear_remains()
        assert (paths.engine() / "docker.pid").exists()
        process.communicate(b"\n")
    assert remains.alive() is None


def test_what_to_install_is_said_where_nothing_can_be_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apt, "is_debian", lambda: False)
    with pytest.raises(HostError) as caught:
        engine.ensure_engine()
    assert "no container engine answers" in caught.value.message
    assert "docker.io" in caught.value.remedy
    assert "DOCKER_HOST" in caught.value.remedy


def test_a_state_folder_too_deep_for_sockets_is_named(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(machine / ("d" * 120)))
    install(paths.engine())
    with pytest.raises(HostError, match="too long"):
        engine.ensure_engine()


def test_what_a_killed_engine_left_running_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "containers" / "0a1b2c").mkdir(parents=True)
    orphan, other = (subprocess.Popen(["sleep", "60"]) for _ in range(2))
    groups = {orphan.pid: "4:memory:/docker/0a1b2c/init.scope", other.pid: "4:memory:/docker/ffff"}
    real = remains._cgroups
    # Alive or not is real, only the group is made up.
    monkeypatch.setattr(remains, "_cgroups", lambda pid: real(pid) and groups.get(pid, ""))
    try:
        remains._end_orphans(tmp_path / "containers")
        assert orphan.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_machine_without_containers_has_no_orphans(tmp_path: Path) -> None:
    remains._end_orphans(tmp_path / "containers")


def test_only_a_dead_engines_own_bridges_are_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("br-0ff989d20f90/brif/veth1", "br-0ff989d20f90/brif/gone", "br-lan/brif/eth1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "networks.db").write_bytes(b"\x00docker/network/0ff989d20f9039eef68e\x00")
    taken: list[bytes] = []

    def index(name: str) -> int:
        if name == "gone":
            raise OSError(name)
        return 198

    monkeypatch.setattr(remains, "_INTERFACES", tmp_path)
    monkeypatch.setattr("socket.if_nametoindex", index)
    monkeypatch.setattr("fcntl.ioctl", lambda _socket, _code, ask: taken.append(ask))
    remains._empty_bridges(tmp_path / "networks.db")
    assert [(ask[:16].rstrip(b"\0"), ask[16]) for ask in taken] == [(b"br-0ff989d20f90", 198)]
    remains._empty_bridges(tmp_path / "no-records.db")
    assert len(taken) == 1
