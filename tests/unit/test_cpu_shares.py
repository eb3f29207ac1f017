"""Shares of the machine's CPU: no more at once than there are, and who wants all is served too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cluster import cpu_shares
from harness.cluster.cpu_shares import cpu_share


@pytest.fixture(autouse=True)
def _two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    monkeypatch.setattr(cpu_shares, "shares", lambda: 2)


class Holds:
    """Takes a share and keeps it until it is told to leave."""

    def __init__(self, *, whole: bool = False) -> None:
        self.has = asyncio.Event()
        self.leave = asyncio.Event()
        self.give_back: Callable[[], None] = lambda: None
        self.task = asyncio.create_task(self._hold(whole))

    async def _hold(self, whole: bool) -> None:
        async with cpu_share(whole=whole, tell=lambda _: None) as self.give_back:
            self.has.set()
            await self.leave.wait()

    async def soon(self) -> bool:
        """Whether it gets what it wants before long."""
        try:
            await asyncio.wait_for(self.has.wait(), 0.4)
        except TimeoutError:
            return False
        return True

    async def end(self) -> None:
        self.leave.set()
        await self.task


def test_one_too_many_waits_until_a_share_is_given_back_early() -> None:
    async def check() -> None:
        first, second = Holds(), Holds()
        assert await first.soon()
        assert await second.soon()
        third = Holds()
        assert not await third.soon()
        first.give_back()
        assert await third.soon()
        for each in (first, second, third):
            await each.end()

    asyncio.run(check())


def test_who_wants_the_whole_machine_has_it_alone_and_is_not_overtaken() -> None:
    async def check() -> None:
        first = Holds()
        assert await first.soon()
        whole = Holds(whole=True)
        assert not await whole.soon()
        later = Holds()
        assert not await later.soon(), "one share is free, but another came before"
        await first.end()
        assert await whole.soon()
        assert not await later.soon()
        await whole.end()
        assert await later.soon()
        await later.end()

    asyncio.run(check())


def test_who_stops_waiting_for_the_whole_machine_leaves_nothing_held() -> None:
    async def check() -> None:
        first = Holds()
        assert await first.soon()
        whole = Holds(whole=True)
        assert not await whole.soon()
        whole.task.cancel()
        await asyncio.wait({whole.task})
        second = Holds()
        assert await second.soon()
        await first.end()
        await second.end()

    asyncio.run(check())
