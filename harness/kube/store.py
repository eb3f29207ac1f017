"""The latest known objects, fed by a `Watcher`, and waiting for a state of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from harness.kube.changes import Change
from harness.kube.client import Obj
from harness.kube.eventually import FailureContext, Sightings

T = TypeVar("T")


class Store:
    """Objects by kind, namespace and name (namespace "" for cluster-scoped ones).

    Feed it every `Change`; what it returns are the watched objects themselves, not copies.
    """

    def __init__(self) -> None:
        self._objects: dict[str, dict[tuple[str, str], Obj]] = {}
        self._waiting: set[asyncio.Event] = set()

    def feed(self, change: Change) -> None:
        of_kind = self._objects.setdefault(change.kind, {})
        key = (change.namespace, change.name)
        if change.verb == "DELETED":
            of_kind.pop(key, None)
        else:
            of_kind[key] = change.object
        for event in self._waiting:
            event.set()

    def get(self, kind: str, name: str, namespace: str = "") -> Obj | None:
        return self._objects.get(kind, {}).get((namespace, name))

    def all(self, kind: str, namespace: str | None = None) -> list[Obj]:
        """Objects of a kind, of one namespace if given."""
        return [
            obj
            for (of, _), obj in self._objects.get(kind, {}).items()
            if namespace is None or of == namespace
        ]

    async def wait(
        self,
        check: Callable[[Store], T],
        *,
        within: float,
        what: str,
        context: FailureContext | None = None,
    ) -> T:
        """Like `eventually`, but checks at each change instead of by the clock."""
        sightings = Sightings()
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(within):
                while True:
                    changed.clear()
                    value = check(self)
                    sightings.see(value)
                    if value:
                        return value
                    await changed.wait()
        except TimeoutError as error:
            raise sightings.timeout(what, within, context) from error
        finally:
            self._waiting.discard(changed)
