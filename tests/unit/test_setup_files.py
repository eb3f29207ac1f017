"""The lock and the scripts that run before there is a Python environment."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_lock_pins_and_hashes_everything_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(blocks) > 50
    for block in blocks:
        assert re.match(r"[a-z0-9._-]+==\S+", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]
    assert "://" not in text
    assert "--index" not in text


def test_the_lock_covers_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    locked = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.lock").read_text(), re.M))
    for requirement in wanted:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)
        assert name is not None
        assert re.sub(r"[_.]+", "-", name.group()).lower() in locked, "run `make lock`"


def test_ci_calls_what_people_call() -> None:
    text = (ROOT / ".ci/run").read_text()
    assert text.rstrip().endswith("exec make test")


def test_every_target_is_explained() -> None:
    text = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in ("demo", "test", "suite", "lint", "bench", "lock", "clean", "help"):
        assert re.search(rf"^  make {target} +\S", text, re.M), target


@pytest.mark.parametrize("python", ["/bin/false", "no-such-python"])
def test_an_unusable_python_is_explained(python: str) -> None:
    done = subprocess.run(
        ["scripts/make-venv"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "no Python 3.11 or newer" in done.stderr
    assert "remedy: install one" in done.stderr
