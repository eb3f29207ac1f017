"""The pytest plugin: options, collection, sections of failure reports, and the run's folder.

Scenarios as test items are in `items`, the fixtures for authors in `fixtures`, what a session
decides for all its tests in `session`, the hooks offered in `hooks`.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError
from harness.history.run_files import HTML_FILE, TRIAL_FILE
from harness.plugin import hooks, settings
from harness.plugin.items import ScenarioFile, ScenarioItem
from harness.redaction import join_run

if TYPE_CHECKING:
    from harness.runs.catalog import Found
    from harness.runs.options import Options, TrialEnd

pytest_plugins = ["harness.plugin.fixtures"]

_STARTED = pytest.StashKey[float]()
_SCENARIO = "scenario.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options are prefixed, so that they collide with nobody's."""
    group = parser.getgroup("harness", "resilience harness")
    group.addoption(
        "--harness-cluster",
        metavar="NAME",
        help="cluster to use; made if it does not exist (default: the one that `harness run` uses)",
    )
    group.addoption(
        "--harness-shape",
        choices=settings.SHAPES,
        help="shape of the cluster (default: the smallest that serves all collected tests)",
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


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """`pytest_harness_trial`."""
    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot work before anything is collected."""
    config.addinivalue_line(
        "markers",
        'harness(shape="single", *, exclusive=False): the cluster shape that a test needs (single, '
        "workers, ha or full), and whether it must have the cluster to itself",
    )
    if hasattr(config, "workerinput"):
        join_run(config.workerinput["harness_marks"])
    else:
        _check_options(config)


def _check_options(config: pytest.Config) -> None:
    option = config.getoption
    subject, output = option("--harness-subject"), option("--harness-output")
    if subject and not (Path(subject) / "harness.toml").is_file():
        _refuse(
            f"--harness-subject: {subject} has no harness.toml",
            f"write one with `harness init {subject}`",
        )
    if option("--harness-cluster"):
        from harness.cluster.clusters import valid_name

        try:
            valid_name(option("--harness-cluster"))
        except HarnessError as error:
            _refuse(f"--harness-cluster: {error.message}", error.remedy)
    if (
        output
        and Path(output).exists()
        and (not Path(output).is_dir() or any(Path(output).iterdir()))
    ):
        _refuse(
            f"--harness-output: {output} is there already and not an empty folder",
            "name a folder that does not exist: a run never overwrites another one",
        )
    given = option("--harness-seed")
    if given is not None and not 0 <= given < 2**31:
        _refuse(f"--harness-seed: {given} is out of range", "give a number from 0 to 2147483647")


def _refuse(message: str, remedy: str) -> None:
    raise pytest.UsageError(f"{message}\n  remedy: {remedy}")


# -- collection -------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """A `scenario.py` is a collection of variants, also when it is named on the command line."""
    found = yield
    if file_path.name != _SCENARIO:
        return found
    collector: ScenarioFile = ScenarioFile.from_parent(parent, path=file_path)
    return [collector]


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """Mark coroutine tests that use our fixtures, so that authors need no mark and no mode.

    Closest to the items, so that pytest-asyncio, which looks for the mark afterwards, sees it.
    """
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if (
            isinstance(item, pytest.Function)
            and inspect.iscoroutinefunction(item.function)
            and settings.ASYNC & set(item.fixturenames)
            and item.get_closest_marker("anyio") is None
        ):
            item.add_marker("asyncio")
    return made


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse marks that cannot be meant, while nothing has started."""
    given = config.getoption("--harness-shape")
    for item in items:
        asked = settings.shape_of(item)
        if given and settings.SHAPES.index(asked) > settings.SHAPES.index(given):
            _refuse(
                f"{item.nodeid} needs a cluster of shape {asked}, and --harness-shape is {given}",
                f"give --harness-shape {asked}, or leave the test out with -k or -m",
            )
        if settings.ASYNC & set(getattr(item, "fixturenames", ())):
            _check_loop(config, item)


def _check_loop(config: pytest.Config, item: pytest.Item) -> None:
    mark = item.get_closest_marker("asyncio")
    default = config.getini("asyncio_default_test_loop_scope")
    scope = (mark.kwargs.get("loop_scope") if mark else None) or default
    if scope != "function":
        _refuse(
            f"{item.nodeid}: its loop lasts for the {scope}, but what the harness's fixtures open "
            "lasts for one test",
            'leave loop_scope out, or write @pytest.mark.asyncio(loop_scope="function")',
        )


@pytest.hookimpl(trylast=True)
def pytest_harness_trial(
    item: pytest.Item, found: Found, variant: str, options: Options
) -> TrialEnd:
    """The trial itself; signals end the session after it was healed and removed."""
    from harness.runs.run import run_variant

    return settings.until_done(item.config, run_variant(found, variant, options))


# -- reports ----------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A section of its own for everything that the harness saw of a failing test."""
    if call.excinfo is not None and (story := item.stash.get(settings.STORY, None)) is not None:
        text = story()
        if text:
            item.add_report_section(call.when, "resilience harness", text)
    report = yield
    if call.excinfo is not None and isinstance(item, ScenarioItem):
        # pytest asks an item for the words of a failed call only, not of a failed setup.
        report.longrepr = item.repr_failure(call.excinfo)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: tell each worker what the controller decided."""
    settings.tell_worker(node.config, node.workerinput)


def pytest_sessionstart(session: pytest.Session) -> None:
    """When the session began, for run.json."""
    session.config.stash[_STARTED] = time.time()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write run.json and the reports, once per session, if any trial was run."""
    config = session.config
    if hasattr(config, "workerinput") or (folder := _trials(config)) is None:
        return
    from harness.report.write import write_reports
    from harness.runs.rejudge import close_run

    subject = config.getoption("--harness-subject")
    close_run(
        folder,
        started=config.stash[_STARTED],
        command=["pytest", *map(str, config.invocation_params.args)],
        subject=Path(subject) if subject else None,
    )
    write_reports(folder)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Seed, histories and report, if anything was run."""
    folder = settings.decided_folder(config)
    if folder is None or not folder.is_dir():
        return
    terminalreporter.section("resilience harness")
    terminalreporter.line(f"seed: {settings.seed(config)} (--harness-seed repeats it)")
    terminalreporter.line(f"histories: {folder}")
    if (folder / HTML_FILE).is_file():
        terminalreporter.line(f"report: {folder / HTML_FILE}")


def _trials(config: pytest.Config) -> Path | None:
    """The run's folder if any trial ended in it."""
    folder = settings.decided_folder(config)
    return folder if folder is not None and any(folder.glob(f"*/{TRIAL_FILE}")) else None
