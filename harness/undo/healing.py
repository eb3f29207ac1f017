"""Undoing what dead processes left, from their ledgers alone: `harness heal`, and every start.

Two healers never work at once, and neither touches the ledger of a living process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from harness import paths
from harness.errors import ClusterError
from harness.host.locks import FileLock
from harness.undo.ledger import append, files, unfinished
from harness.undo.reach import OtherClusterError, World
from harness.undo.record import Record
from harness.undo.registry import undo_of

# One undo that hangs (a node that never answers) must not keep the others from being done.
UNDO_SECONDS = 180.0
# As long as another healer may take for a few such undos.
_WAIT_SECONDS = 600.0
_POLL_SECONDS = 0.2


@dataclass(kw_only=True)
class HealReport:
    """What healing did: `healed` were undone, `closed` need no undoing (with the reason), `failed`
    could not be undone (with the error) and stay in the ledger for the next time."""

    healed: list[Record] = field(default_factory=list)
    closed: list[tuple[Record, str]] = field(default_factory=list)
    failed: list[tuple[Record, str]] = field(default_factory=list)

    @property
    def nothing_found(self) -> bool:
        return not (self.healed or self.closed or self.failed)

    @property
    def clean(self) -> bool:
        """True if nothing is left to undo."""
        return not self.failed

    def lines(self) -> list[str]:
        """One line for each record, for people."""
        return [
            *(f"undone: {record}" for record in self.healed),
            *(f"closed: {record}: {why}" for record, why in self.closed),
            *(f"NOT undone: {record}: {why}" for record, why in self.failed),
        ]


async def heal_dead(
    world_factory: Callable[[], AbstractAsyncContextManager[World]],
    directory: Path | None = None,
) -> HealReport:
    """Undoes what every dead process left, newest change first. A ledger that has nothing left is
    removed. One failing undo keeps none of the others from being tried."""
    directory = directory or paths.ledgers()
    report = HealReport()
    if not files(directory):
        return report
    turn = await _turn(directory)
    held: list[FileLock] = []
    try:
        # All of them are held before the first is healed, so that the order holds across files.
        held = [lock for lock in map(FileLock.try_lock, files(directory)) if lock is not None]
        work = [(record, lock) for lock in held for record in unfinished(lock.path.read_bytes())]
        work.sort(key=lambda item: item[0].wall, reverse=True)
        left = Counter(lock.path for _, lock in work)
        if work:
            async with world_factory() as world:
                for record, lock in work:
                    if await _heal(record, world, report):
                        left[lock.path] -= 1
                        # Without the mark (full disk) it is undone once more, which does nothing.
                        with contextlib.suppress(OSError):
                            append(lock.descriptor, {"done": record.id})
        for lock in held:
            if not left[lock.path]:
                lock.path.unlink(missing_ok=True)
    finally:
        for lock in held:
            lock.release()
        turn.release()
    return report


async def _heal(record: Record, world: World, report: HealReport) -> bool:
    """Whether the record can be closed; what happened goes into the report."""
    try:
        gone = world.why_gone(record.cluster) if record.cluster is not None else ""
        if gone:
            report.closed.append((record, gone))
            return True
        async with asyncio.timeout(UNDO_SECONDS):
            await undo_of(record)(record, world)
    except OtherClusterError as error:
        report.closed.append((record, error.message))
        return True
    except TimeoutError:
        report.failed.append((record, f"did not end within {UNDO_SECONDS:g} s"))
        return False
    except Exception as error:  # noqa: BLE001  an undo is anybody's code; the others must be tried
        report.failed.append((record, f"{type(error).__name__}: {error}"))
        return False
    report.healed.append(record)
    return True


async def _turn(directory: Path) -> FileLock:
    """The right to heal; waits for another healer to finish."""
    path = directory / "heal.lock"
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            while True:
                lock = FileLock.try_lock(path)
                if lock is not None:
                    return lock
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise ClusterError(
            f"another process has been healing for more than {_WAIT_SECONDS:g} s",
            remedy=f"See which process holds {path} (`fuser {path}`); end it and run again.",
        ) from error
