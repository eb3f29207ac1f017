"""Undoing what dead processes left, from their ledgers alone: `harness heal`, and every trial.

Whatever lies on a cluster is undone under a lease on it, so that no living trial that has the
cluster alone is disturbed; one who has taken a lease heals before anything else, so that what a
death left while the lease was waited for is nobody's baseline. Two healers never work at once, and
neither touches the ledger of a living process.

What a process had sent when it died (a request, a command of the container engine) may be carried
out after its undoing. So whatever was undone is undone once more `LATE_SECONDS` after the healing
began, which does nothing where nothing came, and only then is it marked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness import paths
from harness.cluster import clusters
from harness.cluster.leases import Lease, cluster_lease
from harness.errors import ClusterError
from harness.host.locks import FileLock
from harness.undo.ledger import append, files, pending
from harness.undo.reach import OtherClusterError, World
from harness.undo.record import Record, read
from harness.undo.registry import undo_of

# One undo that hangs (a node that never answers) must not keep the others from being done.
UNDO_SECONDS = 180.0
# An API server drops what it has not begun when its client is gone; a command of the engine that
# its client has sent is begun at once, and what is run in a node is over in a few seconds. The rest
# is for a machine that is starved.
LATE_SECONDS = 15.0
# As long as another healer may take for a few such undos.
_WAIT_SECONDS = 600.0
_POLL_SECONDS = 0.2

How = Literal["healed", "closed", "failed"]
Outcome = tuple[How, str]
"""What became of a record, and why it was closed or failed."""


@dataclass(kw_only=True)
class HealReport:
    """What healing did: `healed` were undone, `closed` need no undoing (with the reason), `failed`
    could not be undone (with the error) and stay in the ledger for the next time. `unreadable` are
    lines of ledgers behind which something may stand that nobody knows how to undo."""

    healed: list[Record] = field(default_factory=list)
    closed: list[tuple[Record, str]] = field(default_factory=list)
    failed: list[tuple[Record, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def add(self, record: Record, how: How, why: str) -> None:
        """Note what became of a record."""
        if how == "healed":
            self.healed.append(record)
        else:
            (self.closed if how == "closed" else self.failed).append((record, why))

    @property
    def nothing_found(self) -> bool:
        return not (self.healed or self.closed or self.failed or self.unreadable)

    @property
    def clean(self) -> bool:
        """True if nothing is left to undo."""
        return not (self.failed or self.unreadable)

    def lines(self) -> list[str]:
        """One line for each record, for people."""
        return [
            *(f"undone: {record}" for record in self.healed),
            *(f"closed: {record}: {why}" for record, why in self.closed),
            *(f"NOT undone: {record}: {why}" for record, why in self.failed),
            *(f"NOT understood: {what}" for what in self.unreadable),
        ]


async def heal_dead(
    world_factory: Callable[[], AbstractAsyncContextManager[World]],
    directory: Path | None = None,
    *,
    under: Lease | None = None,
) -> HealReport:
    """Undoes what every dead process left, the latest process first, its newest change first.

    `under`: a lease that the caller holds; then only what lies on that cluster, or on none, is
    undone. Else a lease on each cluster is taken. A ledger that has nothing left is removed. One
    failing undo keeps none of the others from being tried.
    """
    directory = directory or paths.ledgers()
    report = HealReport()
    if not files(directory):
        return report
    async with _leased(directory, under) as reached, _dead(directory) as held:
        work = []
        left: Counter[Path] = Counter()
        for lock in held:
            contents = read(lock.path.read_bytes())
            report.unreadable += [f"{lock.path}: {line}" for line in contents.unreadable]
            left[lock.path] += len(contents.records) + len(contents.unreadable)
            there = [r for r in contents.records if not r.cluster or r.cluster.name in reached]
            work += [(record, lock) for record in there]
        if work:
            async with world_factory() as world:
                outcomes = await _undone([record for record, _ in work], world)
            for (record, lock), (how, why) in zip(work, outcomes, strict=True):
                report.add(record, how, why)
                if how != "failed":
                    left[lock.path] -= 1
                    # Without the mark (full disk) it is undone once more, which does nothing.
                    with contextlib.suppress(OSError):
                        append(lock.descriptor, {"done": record.id})
        for lock in held:
            if not left[lock.path]:
                lock.path.unlink(missing_ok=True)
    return report


async def give_up(cluster: str, directory: Path | None = None) -> list[Record]:
    """Give up what dead processes left on a cluster: marked as done, and nothing is undone.

    For a cluster that is gone for good. Returns the records that were given up.
    """
    given_up: list[Record] = []
    async with _dead(directory or paths.ledgers()) as held:
        for lock in held:
            contents = read(lock.path.read_bytes())
            there = [r for r in contents.records if r.cluster and r.cluster.name == cluster]
            for record in there:
                append(lock.descriptor, {"done": record.id})
            if len(there) == len(contents.records) and not contents.unreadable:
                lock.path.unlink(missing_ok=True)
            given_up += there
    return given_up


@asynccontextmanager
async def _leased(directory: Path, under: Lease | None) -> AsyncIterator[frozenset[str]]:
    """Names of the clusters on which may be healed, for as long as the scope lasts.

    A lease is waited for before the turn to heal is: whoever has that one waits for nobody.
    """
    if under is not None:
        yield frozenset({under.folder.name})
        return
    named = sorted({r.cluster.name for r in pending(directory) if r.cluster is not None})
    async with AsyncExitStack() as stack:
        for name in named:
            # One that is gone needs no lease, and must not get a folder by being asked for one.
            if clusters.load_record(name) is not None:
                lease = cluster_lease(clusters.folder(name), purpose="healing")
                await stack.enter_async_context(lease)
        yield frozenset(named)


@asynccontextmanager
async def _dead(directory: Path) -> AsyncIterator[Sequence[FileLock]]:
    """The ledgers of the dead, the latest first, held by this healer alone.

    All of them are held before the first is healed, so that the order holds across files.
    """
    turn = await _turn(directory)
    held: list[FileLock] = []
    try:
        held = [lock for lock in map(FileLock.try_lock, files(directory)) if lock is not None]
        yield held
    finally:
        for lock in held:
            lock.release()
        turn.release()


async def _undone(records: Sequence[Record], world: World) -> list[Outcome]:
    """Each record's outcome, in order, after what came late was undone, too."""
    loop = asyncio.get_running_loop()
    late = loop.time() + LATE_SECONDS
    outcomes = [await _heal(record, world) for record in records]
    if any(how == "healed" for how, _ in outcomes):
        await asyncio.sleep(late - loop.time())
    return [
        await _heal(record, world) if outcome[0] == "healed" else outcome
        for record, outcome in zip(records, outcomes, strict=True)
    ]


async def _heal(record: Record, world: World) -> Outcome:
    """Undo once; says what became of it."""
    try:
        gone = await world.why_gone(record.cluster) if record.cluster is not None else ""
        if gone:
            return "closed", gone
        async with asyncio.timeout(UNDO_SECONDS):
            await undo_of(record)(record, world)
    except OtherClusterError as error:
        return "closed", error.message
    except TimeoutError:
        return "failed", f"did not end within {UNDO_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001  an undo is anybody's code; the others must be tried
        return "failed", f"{type(error).__name__}: {error}"
    return "healed", ""


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
