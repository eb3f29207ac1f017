"""The ledger: what must be undone, written down and on the disk before it is done.

Record first, then change, then mark. One file for each process below `paths.ledgers()`, locked for
the life of the process, so that whoever comes later undoes what the dead left and leaves the
living alone. How each kind of change is undone is registered where the change is made, with
`@undo("kind")`; what the undoing reaches for (API servers, nodes) is in `reach`.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson

from harness import paths
from harness.cluster.clusters import Cluster
from harness.errors import HostError
from harness.host.files import private_folder, sync_folder, write_all
from harness.host.locks import FileLock
from harness.undo.record import ClusterRef, Record, read
from harness.undo.registry import home_of, undo_of

if TYPE_CHECKING:
    from harness.undo.reach import World

SUFFIX = ".jsonl"

_LOG = logging.getLogger(__name__)


class Entry:
    """A record of this process, open until it is marked done."""

    def __init__(self, ledger: Ledger, record: Record) -> None:
        self._ledger = ledger
        self.record = record

    async def undo(self, world: World) -> None:
        """Undoes the change and marks it; the entry stays open if undoing fails."""
        await undo_of(self.record)(self.record, world)
        self.done()

    def done(self) -> None:
        """Marks the change as undone. A mark that cannot be written is no error: undoing twice
        does nothing."""
        self._ledger.mark(self.record.id)


class Ledger:
    """The open ledger of this process."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock
        self._open: dict[str, Record] = {}

    @classmethod
    def open(cls, directory: Path | None = None) -> Ledger:
        """A new file in `directory` (default: `paths.ledgers()`), locked by this process.

        Raises `HostError` if it cannot be written: without a ledger nothing may be changed.
        """
        directory = directory or paths.ledgers()
        private_folder(directory)
        while True:
            path = directory / f"{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:6]}{SUFFIX}"
            try:
                lock = FileLock.try_lock(path)
                # Somebody who heals may have found the file in the instant before it was locked.
                if lock is not None:
                    sync_folder(directory)
                    return cls(lock)
            except OSError as error:
                raise HostError(
                    f"no ledger can be kept in {directory}: {error}; nothing was changed",
                    remedy="make the folder writable, or point HARNESS_HOME at another one",
                ) from error

    @property
    def path(self) -> Path:
        return self._lock.path

    @property
    def open_records(self) -> list[Record]:
        """What this process has not undone yet, newest first."""
        return list(reversed(self._open.values()))

    def record(
        self, kind: str, data: Mapping[str, Any], *, cluster: Cluster | None, trial: str
    ) -> Entry:
        """Writes down what is about to be done, to the disk, before it is done.

        Raises `HostError` if it cannot be written (full disk); then nothing may be changed.
        """
        record = Record(
            id=uuid.uuid4().hex,
            kind=kind,
            module=home_of(kind),
            cluster=ClusterRef.of(cluster) if cluster is not None else None,
            trial=trial,
            data=dict(data),
            wall=time.time(),
        )
        try:
            append(self._lock.descriptor, {"record": asdict(record)})
            os.fsync(self._lock.descriptor)
        except OSError as error:
            raise HostError(
                f"cannot write to the ledger {self.path}: {error}; nothing was changed",
                remedy="Free disk space (or point HARNESS_HOME at another disk), then run again.",
            ) from error
        self._open[record.id] = record
        return Entry(self, record)

    @asynccontextmanager
    async def change(
        self,
        kind: str,
        data: Mapping[str, Any],
        *,
        cluster: Cluster | None,
        trial: str,
        world: World,
    ) -> AsyncIterator[Entry]:
        """Record; the body changes and uses; then undo and mark, however the body ended.

        async with ledger.change("cordon", {"node": node}, cluster=c, trial=t, world=w):
            await cordon(node)
            ...
        """
        entry = self.record(kind, data, cluster=cluster, trial=trial)
        try:
            yield entry
        finally:
            await entry.undo(world)

    def mark(self, id_: str) -> None:
        self._open.pop(id_, None)
        try:
            append(self._lock.descriptor, {"done": id_})
        except OSError as error:
            _LOG.warning("cannot mark an undone change in %s: %s", self.path, error)

    def close(self) -> None:
        """Ends the hold. The file goes if nothing is left to undo, else the next start finds it."""
        if not self._open:
            self.path.unlink(missing_ok=True)
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def append(descriptor: int, line: Mapping[str, Any]) -> None:
    """Adds one line at the end; raises OSError. The line break comes first, so that a line torn by
    a full disk does not swallow the next one."""
    os.lseek(descriptor, 0, os.SEEK_END)
    write_all(descriptor, b"\n" + orjson.dumps(line))


def pending(directory: Path | None = None) -> list[Record]:
    """What dead processes left to undo, newest first. Changes nothing."""
    found: list[Record] = []
    for path in files(directory):
        lock = FileLock.try_lock(path)
        if lock is not None:
            try:
                found += read(path.read_bytes()).records
            finally:
                lock.release()
    return found


def files(directory: Path | None = None) -> list[Path]:
    """All ledger files, of the living and the dead, newest first (their names begin so).

    Raises `HostError` where they cannot be listed: that is another thing than that there are none.
    """
    directory = directory or paths.ledgers()
    try:
        found = [path for path in directory.iterdir() if path.suffix == SUFFIX]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HostError(
            f"the ledgers in {directory} cannot be read: {error}",
            remedy="make the folder readable, or point HARNESS_HOME at the right one",
        ) from error
    return sorted(found, reverse=True)
