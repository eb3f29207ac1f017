"""A change in flight is joined, however often its caller is cancelled, before its undoing."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from harness.host.commands import aoutput
from harness.host.joined import joined
from harness.kube.transport import Wire


async def cancelled_in_mid_change(change: Any, under_way: asyncio.Event, order: list[str]) -> None:
    """Cancel twice while `change` is under way, then undo."""

    async def trial() -> None:
        try:
            await change
        finally:
            order.append("undone")

    task = asyncio.create_task(trial())
    await under_way.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_change_is_over_before_its_undoing_begins() -> None:
    async def scenario() -> list[str]:
        order: list[str] = []
        under_way = asyncio.Event()

        async def change() -> None:
            under_way.set()
            await asyncio.sleep(0.05)
            order.append("changed")

        await cancelled_in_mid_change(joined(change()), under_way, order)
        return order

    assert asyncio.run(scenario()) == ["changed", "undone"]


def test_a_command_in_a_thread_is_joined(tmp_path: Any) -> None:
    async def scenario() -> None:
        order: list[str] = []
        under_way = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, under_way.set)
        script = f"sleep 0.5; touch {tmp_path}/changed"
        await cancelled_in_mid_change(aoutput(["sh", "-c", script]), under_way, order)
        assert (tmp_path / "changed").exists(), "the command went on alone"

    asyncio.run(scenario())


@pytest.mark.parametrize(("method", "waits"), [("PATCH", True), ("POST", True), ("GET", False)])
def test_a_request_that_changes_something_is_joined(
    monkeypatch: pytest.MonkeyPatch, method: str, waits: bool
) -> None:
    async def scenario() -> list[str]:
        order: list[str] = []
        under_way = asyncio.Event()

        async def once(*_: Any) -> Any:
            under_way.set()
            await asyncio.sleep(0.05)
            order.append("answered")
            return SimpleNamespace(status=200)

        wire = Wire(None, "https://nowhere", patience=time.monotonic())  # type: ignore[arg-type]
        monkeypatch.setattr(wire, "_once", once)
        await cancelled_in_mid_change(wire.request(method, "/x"), under_way, order)
        return order

    assert asyncio.run(scenario()) == (["answered", "undone"] if waits else ["undone"])


def test_an_error_of_the_change_is_the_callers() -> None:
    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(joined(fails()))
