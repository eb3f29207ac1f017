"""Whoever writes an undo record writes it before the first change, in every function that does.

Read from the code itself, so that it holds for every kind. That a record is on the disk when
`record` returns is proven in `test_ledger`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

HOUSE = Path(harness.__file__).parent
CHANGES = {
    "adocker",
    "apply",
    "apply_all",
    "create",
    "delete",
    "delete_all",
    "install",
    "patch",
    "start",
}
METHODS = {"DELETE", "PATCH", "POST", "PUT"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def recording(root: Path = HOUSE) -> Iterator[tuple[str, Function]]:
    """Every function that writes an undo record, by its place."""
    for room in ("faults", "undo", "addons", "trial"):
        for file in sorted((root / room).glob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, Function) and calls(node, {"record"}):
                    yield f"{room}/{file.name}:{node.name}", node


def calls(function: Function, names: set[str]) -> list[int]:
    """Lines in which one of these is called, or a request is made that is no GET, in order."""
    found = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return sorted(
        node.lineno
        for node in found
        if getattr(node.func, "attr", getattr(node.func, "id", "")) in names
        or (names is CHANGES and any(getattr(arg, "value", None) in METHODS for arg in node.args))
    )


FOUND = dict(recording())


def test_records_are_found() -> None:
    assert {place.partition(":")[0] for place in FOUND} >= {
        "faults/node_loss.py",
        "faults/proxied.py",
        "faults/rollouts.py",
        "undo/namespaces.py",
        "undo/cluster_scoped.py",
    }


@pytest.mark.parametrize("place", FOUND)
def test_nothing_is_changed_before_it_is_written_down(place: str) -> None:
    (recorded, *_), changes = calls(FOUND[place], {"record"}), calls(FOUND[place], CHANGES)
    assert all(recorded < change for change in changes), (
        f"{place} changes something in line {changes[0]}, and writes it down in line {recorded}"
    )
