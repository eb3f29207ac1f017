"""Inner pytest runs: no cluster, no engine, recorded trials."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from harness import paths

# Inner runs in this process must find these as modules, those in other processes on PYTHONPATH.
HERE = Path(__file__).parent
SEARCH = [str(HERE), str(HERE.parent / "unit")]
sys.path[:0] = [each for each in SEARCH if each not in sys.path]

# Kept across inner runs: they forget what they import themselves, and these take seconds.
for module in ("harness.authoring", "harness.runs.rejudge", "harness.report.write", "recorded"):
    importlib.import_module(module)

INI = """
[pytest]
addopts = -p no:locust
asyncio_default_fixture_loop_scope = function
"""
# Stands for the cluster where a test needs a handle and nothing that is behind it.
CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def cluster():
    return None
"""


class Inner:
    """An inner pytest over the shipped scenarios or over test files, in a folder of its own."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self.monkeypatch = monkeypatch
        pytester.makeini(INI)
        # Whatever needs an engine or a cluster would show here.
        self.home = pytester.path / "home"
        monkeypatch.setenv("HARNESS_HOME", str(self.home))
        search = [*SEARCH, *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(search))

    @property
    def settings(self) -> list[str]:
        """Settings of the inner run's own: scenarios lie in a repository with others."""
        return ["-c", str(self.pytester.path / "tox.ini"), f"--rootdir={self.pytester.path}"]

    @property
    def scenario(self) -> Path:
        """A copy of the shipped scenario that the stories tell."""
        here: Path = self.pytester.path / "scenarios" / "liveness-checks-database"
        if not here.exists():
            shutil.copytree(paths.data("scenarios") / here.name, here)
        return here

    def stories(self, *more: str, residue: str | None = None, **stories: str) -> pytest.RunResult:
        """Run both variants of the shipped scenario with these stories; `more` are arguments."""
        self.monkeypatch.setenv(
            "HARNESS_STORIES", " ".join(f"{variant}={story}" for variant, story in stories.items())
        )
        if residue is not None:
            self.monkeypatch.setenv("HARNESS_RESIDUE", residue)
        return self.run("-p", "recorded", str(self.scenario), "--harness-output=out", *more)

    def run(self, *args: str) -> pytest.RunResult:
        """Run pytest in this process."""
        return self.pytester.runpytest_inprocess(*self.settings, *args)

    def test_file(self, code: str) -> None:
        """A test file, and a cluster that is only a name."""
        self.pytester.makeconftest(CONFTEST)
        self.pytester.makepyfile(test_inner=code)


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Inner:
    """An inner pytest."""
    return Inner(pytester, monkeypatch)
