"""Room on a cluster that a living trial has taken for its pods, known to every process.

Pods are counted only once they are there, so two who asked a cluster what it has left at the same
moment would both get the last of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from harness.cluster.capacity import Reservation, Room, free
from harness.cluster.leases import say_to_stderr
from harness.host import notices
from harness.host.locks import FileLock
from harness.kube.client import Kube

_POLL_S = 0.5
_TELL_AFTER = 4
"""Polls."""


@asynccontextmanager
async def reserved(
    kube: Kube,
    folder: Path,
    need: Room,
    namespaces: Sequence[str],
    *,
    tell: Callable[[str], None] = say_to_stderr,
) -> AsyncIterator[Callable[[], None]]:
    """Room for what will run in `namespaces`, nobody else's while the body runs.

    The body is given a function that gives it back earlier: then its pods count, while they last.
    `folder` is `Cluster.folder`. Waits until there is room beside what others have reserved, in
    this process or in another one, and tells once that it does. Who needs more than the cluster has
    gets it when nobody else has any, and its pods will say what they wait for.
    """
    polls = 0
    with ExitStack() as stack:
        while not await _reserve(stack, kube, folder, need, namespaces):
            polls += 1
            if polls == _TELL_AFTER and not notices.only_ours(folder / "room"):
                tell(f"waiting for room on {folder.name}: other trials have taken it")
            await asyncio.sleep(_POLL_S)
        yield stack.close


async def _reserve(
    stack: ExitStack, kube: Kube, folder: Path, need: Room, namespaces: Sequence[str]
) -> bool:
    """Whether room was taken, for as long as `stack` is open; decided by one process at a time."""
    turn = FileLock.try_lock(folder / "room.turn")
    if turn is None:
        return False
    try:
        others = [
            Reservation(Room(told["cpu"], told["memory"]), frozenset(told["namespaces"]))
            for told in notices.living(folder / "room")
        ]
        if others:
            nodes, pods = await kube.list("v1", "Node"), await kube.list("v1", "Pod")
            if not free(nodes, pods, others).holds(need):
                return False
        notice = {"cpu": need.cpu, "memory": need.memory, "namespaces": list(namespaces)}
        stack.enter_context(notices.posted(folder / "room", notice))
        return True
    finally:
        turn.release()
