"""How each kind of change is undone: registered where the change is made, with `@undo("kind")`."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.undo.reach import World
from harness.undo.record import Record

Undo = Callable[[Record, "World"], Awaitable[None]]

undo_by_kind: dict[str, Undo] = {}


def undo(kind: str) -> Callable[[Undo], Undo]:
    """Registers how a kind of change is undone: idempotent, from the record alone, in any process.

    The function may find nothing to undo, or half of it; it raises if it could not undo it all.
    """

    def register(function: Undo) -> Undo:
        other = undo_by_kind.get(kind)
        if other is not None and other.__module__ != function.__module__:
            raise AssertionError(f"undo of {kind!r} is registered by {other.__module__} already")
        undo_by_kind[kind] = function
        return function

    return register


def undo_of(record: Record) -> Undo:
    """The registered function, importing its module if need be; LookupError if there is none."""
    if record.kind not in undo_by_kind:
        try:
            importlib.import_module(record.module)
        except ImportError as error:
            raise LookupError(f"{record.module}, which undoes {record.kind}: {error}") from error
    try:
        return undo_by_kind[record.kind]
    except KeyError:
        raise LookupError(f"{record.module} no longer says how to undo {record.kind}") from None
