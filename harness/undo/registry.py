"""How each kind of change is undone: registered where the change is made, with `@undo("kind")`."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.errors import FaultError
from harness.host.user_packages import load_plugins
from harness.undo.record import Record

if TYPE_CHECKING:
    from harness.undo.reach import World

Undo = Callable[[Record, "World"], Awaitable[None]]

SHIPPED = (
    "harness.undo.namespaces",
    "harness.undo.cluster_scoped",
    "harness.undo.changed_objects",
    "harness.addons.addons",
    "harness.faults",
)
"""Where the harness's own undos are. A record names the module of its time, which may have been
renamed since."""

_undo_by_kind: dict[str, Undo] = {}


def undo(kind: str) -> Callable[[Undo], Undo]:
    """Registers how a kind of change is undone: idempotent, from the record alone, in any process.

    The function may find nothing to undo, or half of it; it raises if it could not undo it all.
    """

    def register(function: Undo) -> Undo:
        other = _undo_by_kind.get(kind)
        if other is not None and other.__module__ != function.__module__:
            raise AssertionError(f"undo of {kind!r} is registered by {other.__module__} already")
        _undo_by_kind[kind] = function
        return function

    return register


def home_of(kind: str) -> str:
    """The module that another process will import to undo this kind.

    Raises FaultError where that process could not: a harness that dies would leave the change for
    good, so it must not be made.
    """
    function = _undo_by_kind.get(kind)
    if function is None:
        raise AssertionError(f"nothing says how to undo {kind!r}; register it with @undo")
    package = function.__module__.partition(".")[0]
    found = _found_elsewhere(package, os.environ.get("PYTHONPATH", ""))
    if not found or "<" in function.__qualname__:
        raise FaultError(
            f"{function.__module__}.{function.__qualname__}, which undoes {kind!r}, cannot be "
            "imported by another process, so nobody could heal after a death; nothing was changed",
            remedy="define it at the top of a module that is installed or on PYTHONPATH",
        )
    return function.__module__


def undo_of(record: Record) -> Undo:
    """The registered function, importing its module if need be; LookupError if there is none."""
    why = f"{record.module} no longer says how"
    for module in (record.module, *SHIPPED):
        if record.kind in _undo_by_kind:
            break
        try:
            importlib.import_module(module)
        except ImportError as error:
            why = str(error)
    if record.kind not in _undo_by_kind:
        # Last: a plugin that cannot be imported keeps nothing of ours from being undone.
        load_plugins()
    if record.kind not in _undo_by_kind:
        raise LookupError(f"nothing undoes {record.kind} ({record.module}): {why}")
    return _undo_by_kind[record.kind]


@lru_cache
def _found_elsewhere(package: str, _pythonpath: str) -> bool:
    """Whether a new process finds a package, without the folder that it is started in.

    Asked of one, since how packages are installed (import hooks, path files) is Python's business.
    """
    code = "import sys; from importlib.util import find_spec; sys.exit(not find_spec(sys.argv[1]))"
    words = [sys.executable, "-P", "-c", code, package]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0
