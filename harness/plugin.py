"""The pytest plugin: options, scenarios as test items, fixtures for authors, report sections.

A folder with a `scenario.py` is collected as one item per variant, `slug[variant]`. The trial runs
in the item's setup and is compared with what was expected in its call, so an inconclusive trial is
an error and a wrong outcome a failure, in JUnit too. What the fixtures hand out is in
`harness.authoring`.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, UsageError

FOLDER_KEY = pytest.StashKey[Path]()
_FIXTURES = ("harness.fixtures",)
_GROUP = "resilience harness"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options are prefixed, so that they collide with nobody's."""
    group = parser.getgroup("harness", _GROUP)
    group.addoption(
        "--harness-cluster",
        metavar="NAME",
        help="cluster to use; made if it does not exist (default: the one that `harness run` uses)",
    )
    group.addoption(
        "--harness-context",
        metavar="NAME",
        help="a cluster that is not ours, by its kubeconfig context; faults are injected there",
    )
    group.addoption(
        "--harness-subject",
        metavar="DIR",
        help="run scenarios against your own application (folder with harness.toml)",
    )
    group.addoption(
        "--harness-faithful",
        action="store_true",
        help="probe timings as declared instead of shortened by one factor",
    )
    group.addoption(
        "--harness-seed", metavar="N", type=int, help="seed of everything random (default: new)"
    )
    group.addoption(
        "--harness-output",
        metavar="DIR",
        help="folder for the run's histories and reports (default: harness-runs/<time>)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot work before anything is collected."""
    subject = config.getoption("--harness-subject")
    if subject and not (Path(subject) / "harness.toml").is_file():
        raise pytest.UsageError(
            f"--harness-subject: {subject} has no harness.toml\n"
            f"  remedy: write one with `harness init {subject}`"
        )
    if config.getoption("--harness-cluster") and config.getoption("--harness-context"):
        raise pytest.UsageError(
            "--harness-cluster and --harness-context exclude each other\n"
            "  remedy: a cluster of ours goes by its name, any other by its context; give one"
        )
    config.addinivalue_line(
        "markers", "harness(shape): the cluster shape that a test needs: single, workers or ha"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A `scenario.py` is a collection of variants."""
    if file_path.name != "scenario.py":
        return None
    collector: ScenarioFile = ScenarioFile.from_parent(parent, path=file_path)
    return collector


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> None:
    """Mark coroutine tests that use our fixtures, so that authors need no mark and no mode."""
    if not inspect.iscoroutinefunction(obj):
        return
    ours = {"deploy", "load", "inject", "eventually", "namespace"}
    if ours & set(inspect.signature(obj).parameters):
        marks = getattr(obj, "pytestmark", [])
        if not any(mark.name == "asyncio" for mark in marks):
            pytest.mark.asyncio(obj)


class ScenarioFile(pytest.File):
    """One scenario; its items are its variants."""

    def collect(self) -> Iterator[ScenarioItem]:
        """One item per variant; an error in the file is a collection error with its remedy."""
        from harness import catalog

        try:
            found = catalog.load_scenario(self.path.parent)
            subject = self.config.getoption("--harness-subject")
            if subject:
                from harness.run import Options, select

                chosen, left_out = select([found], Options(subject=Path(subject)))
                if left_out:
                    # Not collected rather than skipped: nothing that could have run is hidden,
                    # and `harness list --subject` tells why.
                    return
                found = chosen[0][0]
        except HarnessError as error:
            raise self.CollectError(str(error)) from error
        for variant in found.scenario.variants:
            yield ScenarioItem.from_parent(
                self, name=f"{found.slug}[{variant}]", found=found, variant=variant
            )


class Inconclusive(Exception):  # noqa: N818 - named as the verdict is
    """The trial says nothing about the configuration."""


class WrongOutcome(AssertionError):  # noqa: N818 - a failed expectation, like an assertion
    """The verdict is not the one that was expected, or not for the stated reason."""


class ScenarioItem(pytest.Item):
    """One variant of one scenario: a trial."""

    def __init__(self, *, found: Any, variant: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.found = found
        self.variant = variant
        self.end: Any = None
        self.add_marker(pytest.mark.harness(found.scenario.shape))

    def setup(self) -> None:
        """Run the trial; raises Inconclusive, which pytest reports as an error."""
        from harness.run import Options, run_variant

        option = self.config.getoption
        subject = option("--harness-subject")
        options = Options(
            subject=Path(subject) if subject else None,
            faithful=option("--harness-faithful"),
            seed=option("--harness-seed"),
            cluster=option("--harness-cluster"),
            context=option("--harness-context"),
            folder=run_folder(self.config),
            command=["pytest", *self.config.invocation_params.args],
        )
        self.end = asyncio.run(run_variant(self.found, self.variant, options))
        result = self.end.result
        self.user_properties += [("verdict", result.verdict), ("outcome", result.outcome)]
        self.add_report_section("setup", "trial", self._story())
        if result.verdict == "inconclusive":
            raise Inconclusive(f"{result.deciding}\n  to blame: {result.blame}")
        if self.end.residue:
            raise Inconclusive("left behind: " + "; ".join(self.end.residue))

    def runtest(self) -> None:
        """Compare with what was expected; raises WrongOutcome."""
        result = self.end.result
        if result.outcome != "as expected":
            expected = self.found.scenario.variants[self.variant].verdict
            raise WrongOutcome(f"{result.outcome}: {result.deciding} (expected: {expected})")

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Our own errors without a traceback: the message and the remedy are what helps."""
        if isinstance(excinfo.value, HarnessError | Inconclusive | WrongOutcome):
            return f"{type(excinfo.value).__name__}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the item comes from and what it is called."""
        return self.path, None, self.name

    def _story(self) -> str:
        result = self.end.result
        lines = [f"{result.verdict}: {result.deciding}"]
        lines += [
            f"  {finding.state}: {name}: {finding.reason}" for name, finding in result.objectives
        ]
        lines += [f"  {'shown' if seen else 'NOT shown'}: {name}" for name, seen in result.shows]
        lines.append(f"  history: {self.end.plan.placement.folder}")
        return "\n".join(lines)


def run_folder(config: pytest.Config) -> Path:
    """The run's folder: one per session, shared by xdist's workers."""
    if FOLDER_KEY not in config.stash:
        worker = getattr(config, "workerinput", None)
        given = config.getoption("--harness-output")
        if worker is not None:
            folder = Path(worker["harness_folder"])
        elif given:
            folder = Path(given)
        else:
            from harness.run import new_folder

            folder = new_folder()
        config.stash[FOLDER_KEY] = folder.absolute()
    return config.stash[FOLDER_KEY]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: tell each worker where the run's folder is."""
    node.workerinput["harness_folder"] = str(run_folder(node.config))


def pytest_sessionstart(session: pytest.Session) -> None:
    """When the session began, for run.json."""
    session.config.stash[_STARTED] = time.time()


_STARTED = pytest.StashKey[float]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write run.json and the reports, once per session, if any trial was run."""
    config = session.config
    if hasattr(config, "workerinput") or FOLDER_KEY not in config.stash:
        return
    folder = run_folder(config)
    if not any(folder.glob("*/trial.json")):
        return
    from harness.judging import close_run
    from harness.report.write import write_reports

    subject = config.getoption("--harness-subject")
    close_run(
        folder,
        started=config.stash[_STARTED],
        command=["pytest", *config.invocation_params.args],
        subject=Path(subject) if subject else None,
    )
    write_reports(folder)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Where the report is."""
    if FOLDER_KEY in config.stash and (run_folder(config) / "report.html").is_file():
        terminalreporter.section("resilience harness")
        terminalreporter.line(f"report: {run_folder(config) / 'report.html'}")


__all__ = ["Inconclusive", "ScenarioFile", "ScenarioItem", "UsageError", "WrongOutcome"]
