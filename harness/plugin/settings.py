"""What a pytest session decides once for all its tests: folder, seed, cluster and its shape.

The options themselves are declared in `harness.plugin.plugin`; xdist's workers are told what the
controller decided.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import pytest

from harness.declare import Shape
from harness.redaction import key_of_this_run

if TYPE_CHECKING:
    from harness.cluster.clusters import Cluster
    from harness.manifest.objects import Object
    from harness.manifest.subject_file import SubjectFile

T = TypeVar("T")

SHAPES: tuple[str, ...] = get_args(Shape)
"""Cluster shapes, each serving what those before it serve."""
ASYNC = frozenset({"deploy", "eventually", "inject", "load", "namespace"})
"""Fixtures whose coroutine tests need no asyncio mark of their own."""
STORY = pytest.StashKey[Callable[[], str]]()
"""Of an item: what its section of a failure report says."""

_FOLDER = pytest.StashKey[Path]()
_SEED = pytest.StashKey[int]()
_SUBJECT = pytest.StashKey["tuple[SubjectFile, list[Object]]"]()


def run_folder(config: pytest.Config) -> Path:
    """The run's folder, absolute: one per session, shared by xdist's workers; not made here."""
    if _FOLDER not in config.stash:
        worker = getattr(config, "workerinput", None)
        given = config.getoption("--harness-output")
        if worker is not None:
            folder = Path(worker["harness_folder"])
        elif given:
            folder = Path(given)
        else:
            # Only here: the run module brings in the Kubernetes client.
            from harness.runs.folder import new_folder

            folder = new_folder()
        config.stash[_FOLDER] = folder.absolute()
    return config.stash[_FOLDER]


def decided_folder(config: pytest.Config) -> Path | None:
    """The run's folder if any test asked for it."""
    return config.stash.get(_FOLDER, None)


def seed(config: pytest.Config) -> int:
    """Seed of everything random: one per session, so that variants differ in nothing else."""
    if _SEED not in config.stash:
        worker = getattr(config, "workerinput", None)
        given = config.getoption("--harness-seed")
        if worker is not None:
            config.stash[_SEED] = int(worker["harness_seed"])
        else:
            config.stash[_SEED] = given if given is not None else secrets.randbelow(2**31)
    return config.stash[_SEED]


def subject(config: pytest.Config) -> tuple[SubjectFile, list[Object]] | None:
    """A user's own application with its objects, read once; None: the sample subjects.

    Raises HarnessError for what is wrong with it.
    """
    given = config.getoption("--harness-subject")
    if not given:
        return None
    if _SUBJECT not in config.stash:
        from harness.images.reading import as_given
        from harness.manifest.subject_reading import load_subject

        file = load_subject(Path(given))
        config.stash[_SUBJECT] = (file, asyncio.run(as_given(file)))
    return config.stash[_SUBJECT]


def tell_worker(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """What an xdist worker has to know."""
    workerinput["harness_folder"] = str(run_folder(config))
    workerinput["harness_seed"] = seed(config)
    workerinput["harness_marks"] = key_of_this_run()


def shape_of(item: pytest.Item) -> str:
    """The cluster shape that a test's mark asks for. Raises UsageError for one there is not."""
    mark = item.get_closest_marker("harness")
    if mark is None:
        return SHAPES[0]
    shape = mark.args[0] if mark.args else mark.kwargs.get("shape", SHAPES[0])
    unknown = set(mark.kwargs) - {"shape", "exclusive"}
    if shape not in SHAPES or len(mark.args) > 1 or unknown:
        raise pytest.UsageError(
            f"{item.nodeid}: @pytest.mark.harness cannot take {mark.args} {mark.kwargs}\n"
            f'  remedy: write @pytest.mark.harness("workers") or (exclusive=True); shapes are '
            f"{', '.join(SHAPES)}"
        )
    return str(shape)


def exclusive(item: pytest.Item) -> bool:
    """True if a test has the cluster to itself."""
    mark = item.get_closest_marker("harness")
    return mark is not None and bool(mark.kwargs.get("exclusive", False))


def needs_cluster(item: pytest.Item) -> bool:
    """True if a test stands on the session's cluster."""
    return "cluster" in getattr(item, "fixturenames", ()) or hasattr(item, "found")


def shape(session: pytest.Session) -> str:
    """The session's cluster shape: the option, else the smallest that serves all its tests."""
    given = session.config.getoption("--harness-shape")
    if given:
        return str(given)
    asked = [shape_of(item) for item in session.items if needs_cluster(item)]
    return max(asked, key=SHAPES.index, default=SHAPES[0])


async def bring_up(session: pytest.Session) -> Cluster:
    """Heal what the dead left, then the cluster, made if need be. Takes a second if it is there."""
    from harness.cluster import lifecycle
    from harness.runs.connections import default_cluster, heal_first

    option = session.config.getoption
    await heal_first()
    wanted = shape(session)
    name = option("--harness-cluster") or default_cluster(wanted)
    return await lifecycle.bring_up(name, wanted, or_larger=True)


def until_done(config: pytest.Config, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; a signal ends the session, after everything that it had begun was undone."""
    from harness.host import signals

    try:
        return signals.until_done(work, partial(tell, config))
    except signals.Interrupted as interrupted:
        raise KeyboardInterrupt(str(interrupted)) from interrupted


def tell(config: pytest.Config, text: str) -> None:
    """Say something now, whatever pytest captures at the moment."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
        sys.stderr.write(f"\n{text}\n")
        sys.stderr.flush()
