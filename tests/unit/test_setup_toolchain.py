"""Builds of Go programs: once for the same inputs, again for others, explained when they fail."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness import paths
from harness.addons import csi
from harness.errors import HostError
from harness.host import go_programs
from harness.host.go_programs import Program, build, go_version
from harness.images import node_programs

FAKE_GO = """#!/bin/sh
# Stands in for Go: answers its version, and "builds" a file that tells the module and arguments.
case $1 in
  version) echo "go version go1.99.0 linux/amd64" ;;
  build) [ -z "$UNDEFINED" ] || { echo "undefined: $UNDEFINED" >&2; exit 1; }
    echo "$PWD $@ $GOFLAGS" > "$5/main"; echo once >> "$COUNT" ;;
esac
"""
PROGRAM = Program(name="proxy", version="1", tree="node-image/go/pause", rename={"main": "proxyd"})


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "go").write_text(FAKE_GO)
    (tools / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    go_programs.go.cache_clear()
    yield tmp_path / "count"
    go_programs.go.cache_clear()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.27rc1 linux/arm64", (1, 27)),
        ("command not found", (0, 0)),
    ],
)
def test_version_of_go(text: str, version: tuple[int, int]) -> None:
    assert go_version(text) == version


def test_go_of_the_package_index_is_the_compiler_not_pips_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bin/go", "go/bin/go", "go/VERSION"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(go_programs, "python_package", lambda name, requirements: tmp_path)
    monkeypatch.setattr(go_programs, "GO_NEEDED", (99, 0))
    go_programs.go.cache_clear()
    assert go_programs.go() == tmp_path / "go/bin/go"
    go_programs.go.cache_clear()


def test_a_program_is_built_once(fake_go: Path) -> None:
    folder = build(PROGRAM)
    assert build(PROGRAM) == folder
    assert fake_go.read_text() == "once\n"
    told = (folder / "proxyd").read_text()
    assert told.startswith(f"{PROGRAM.module()} build ")
    assert "-mod=readonly" in told, "a module without a checksum here would be taken as it comes"
    assert not list(paths.binaries().glob(".*.part"))


def test_another_version_is_another_build(fake_go: Path) -> None:
    assert build(PROGRAM) != build(replace(PROGRAM, version="2"))
    assert fake_go.read_text() == "once\nonce\n"


def test_a_failed_build_leaves_nothing_and_shows_the_compiler(
    fake_go: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDEFINED", "x")
    with pytest.raises(HostError, match="undefined: x"):
        build(PROGRAM)
    assert not PROGRAM.folder().exists()


def test_the_key_follows_sources_and_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = tmp_path / "kind-configs"
    shutil.copytree(paths.data("kind-configs") / "node-image", trees / "node-image")
    monkeypatch.setattr(paths, "data", lambda name: tmp_path / name)
    program = node_programs.PAUSE
    before = program.key()
    assert replace(program, stamp=("main.x=1",)).key() != before
    (trees / "node-image/go/pause/main_test.go").write_text("package main\n")
    assert program.key() == before, "a test changes no binary"
    with (trees / "node-image/go/pause/main.go").open("a") as source:
        source.write("// changed\n")
    assert program.key() != before


PINNED = (go_programs.KIND, go_programs.TOXIPROXY, go_programs.REGISTRY, csi.PROGRAM)


@pytest.mark.parametrize("program", [*PINNED, *node_programs.ALL], ids=lambda each: each.name)
def test_every_module_that_a_program_needs_has_its_checksum_in_the_repository(
    program: Program,
) -> None:
    needed = required((program.module() / "go.mod").read_text())
    sums = program.module() / "go.sum"
    known = {tuple(line.split()[:2]) for line in sums.read_text().splitlines()} if needed else set()
    assert needed <= known
    assert program.version in {version for _, version in needed} | {"1"}, "named after another one"


def required(text: str) -> set[tuple[str, ...]]:
    """Module and version of everything that a go.mod requires, as it is."""
    lines = (line.split("//")[0].split() for line in text.splitlines() if "=>" not in line)
    pairs = {tuple(words[-2:]) for words in lines if len(words) > 1 and words[-1].startswith("v")}
    # There is no such version: Kubernetes asks for it where a replacement stands for the module.
    return {(module, version) for module, version in pairs if version != "v0.0.0"}
