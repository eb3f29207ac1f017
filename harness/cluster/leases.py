"""Leases: who may use a cluster, and which entry port is whose, across processes.

Every lock is `flock` on a file below `clusters/<name>/`, so the kernel drops it when its holder
ends in any way, SIGKILL included, and nothing has to be cleaned up. What a lease is for and which
trials need which is the trial's decision.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from harness.cluster.shapes import EntryPort
from harness.errors import ClusterError
from harness.host import notices
from harness.host.locks import FileLock

_POLL_SECONDS = 0.1
_TELL_AFTER_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A living process that holds a lease."""

    pid: int
    command: str
    purpose: str
    exclusive: bool
    since: str

    def __str__(self) -> str:
        how = "alone" if self.exclusive else "shared"
        what = f" for {self.purpose}" if self.purpose else ""
        return f"pid {self.pid} (`{self.command}`){what}, {how}, since {self.since}"


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A held lease on the cluster whose state is in `folder`; valid inside its `async with`."""

    folder: Path
    exclusive: bool
    purpose: str


def say_to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@asynccontextmanager
async def cluster_lease(
    folder: Path,
    *,
    exclusive: bool = False,
    purpose: str = "",
    wait: timedelta | None = None,
    tell: Callable[[str], None] = say_to_stderr,
) -> AsyncIterator[Lease]:
    """Hold the cluster, shared with others or alone, while the body runs.

    `folder` is `Cluster.folder`. Waits without limit unless `wait` is given, and tells once who
    else is in the way; raises `ClusterError` when `wait` is over. One who waits to be alone is not
    overtaken by later comers: they queue behind the turnstile.
    """
    waiting = Waiting(f"the cluster in {folder}", lambda: holders(folder), wait=wait, tell=tell)
    turnstile = await waiting.lock(folder / "lease.turnstile", exclusive=exclusive)
    try:
        lock = await waiting.lock(folder / "lease", exclusive=exclusive)
    finally:
        turnstile.release()
    try:
        with _announced(folder, exclusive=exclusive, purpose=purpose):
            yield Lease(folder=folder, exclusive=exclusive, purpose=purpose)
    finally:
        lock.release()


@asynccontextmanager
async def lease_entry_port(
    folder: Path,
    entry_ports: Sequence[EntryPort],
    *,
    wait: timedelta | None = None,
    tell: Callable[[str], None] = say_to_stderr,
) -> AsyncIterator[EntryPort]:
    """One of the cluster's entry ports, nobody else's while the body runs.

    Waits for a free one; raises `ClusterError` when there is none at all or `wait` is over.
    """
    if not entry_ports:
        raise ClusterError(
            f"the cluster in {folder} has no entry ports",
            remedy="use a cluster made by `harness up`",
        )
    waiting = Waiting(
        f"one of {len(entry_ports)} entry ports of {folder.name}",
        lambda: holders(folder),
        wait=wait,
        tell=tell,
    )
    ports = {folder / "entry" / f"{port.node_port}": port for port in entry_ports}
    lock = await waiting.first_of(ports)
    try:
        yield ports[lock.path]
    finally:
        lock.release()


@asynccontextmanager
async def lifecycle_lock(
    folder: Path, *, tell: Callable[[str], None] = say_to_stderr
) -> AsyncIterator[FileLock]:
    """Held by the one process that creates, rebuilds or deletes the cluster; others wait."""
    waiting = Waiting(
        f"another process that makes or deletes the cluster {folder.name}",
        list,
        wait=None,
        tell=tell,
    )
    lock = await waiting.lock(folder / "lifecycle", exclusive=True)
    try:
        yield lock
    finally:
        lock.release()


@asynccontextmanager
async def addon_lock(
    folder: Path, name: str, *, tell: Callable[[str], None] = say_to_stderr
) -> AsyncIterator[FileLock]:
    """Held by the one process that installs or removes the add-on of that name; others wait."""
    waiting = Waiting(
        f"another process that installs or removes add-on {name} in {folder.name}",
        list,
        wait=None,
        tell=tell,
    )
    lock = await waiting.lock(folder / f"addon-{name}", exclusive=True)
    try:
        yield lock
    finally:
        lock.release()


def being_changed(folder: Path) -> bool:
    """True while a living process creates, rebuilds or deletes the cluster."""
    file = folder / "lifecycle"
    if not file.exists():
        return False
    lock = FileLock.try_lock(file, exclusive=False)
    if lock is None:
        return True
    lock.release()
    return False


def holders(folder: Path) -> list[Holder]:
    """The living holders of the cluster's lease."""
    return [Holder(**told) for told in notices.living(folder / "holders")]


@contextmanager
def _announced(folder: Path, *, exclusive: bool, purpose: str) -> Iterator[None]:
    holder = Holder(
        pid=os.getpid(),
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:120],
        purpose=purpose,
        exclusive=exclusive,
        since=datetime.now().astimezone().strftime("%H:%M:%S"),
    )
    with notices.posted(folder / "holders", vars(holder)):
        yield


class Waiting:
    """Polls for locks: flock has no queue that a coroutine could be cancelled out of."""

    def __init__(
        self,
        what: str,
        who: Callable[[], list[Holder]],
        *,
        wait: timedelta | None,
        tell: Callable[[str], None],
    ) -> None:
        self.what = what
        self.who = who
        self.wait = wait
        self.tell = tell
        self.began = time.monotonic()
        self.told = False

    async def lock(self, path: Path, *, exclusive: bool) -> FileLock:
        while (lock := FileLock.try_lock(path, exclusive=exclusive)) is None:
            await self._pause()
        return lock

    async def first_of(self, paths: Iterable[Path]) -> FileLock:
        while True:
            for path in paths:
                lock = FileLock.try_lock(path)
                if lock is not None:
                    return lock
            await self._pause()

    async def _pause(self) -> None:
        waited = time.monotonic() - self.began
        if self.wait is not None and waited >= self.wait.total_seconds():
            raise ClusterError(
                f"{self.what}: still in use after {waited:.0f} s{self._by()}",
                remedy="wait for them to end, end them, or use another cluster (`--cluster NAME`)",
            )
        if not self.told and waited > _TELL_AFTER_SECONDS and not self._only_for_us():
            self.told = True
            self.tell(f"waiting for {self.what}{self._by()}")
        await asyncio.sleep(_POLL_SECONDS)

    def _only_for_us(self) -> bool:
        """That trials of one run wait for each other is the ordinary course."""
        found = self.who()
        return bool(found) and all(each.pid == os.getpid() for each in found)

    def _by(self) -> str:
        found = self.who()
        return f": held by {'; '.join(map(str, found))}" if found else ""
