"""Room on a cluster: what trials take at the same time adds up to no more than is there."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from harness.cluster import reservations
from harness.cluster.capacity import Room
from harness.cluster.reservations import reserved
from harness.kube.client import Kube

NODE = {
    "metadata": {"name": "n"},
    "spec": {},
    "status": {"allocatable": {"cpu": "2", "memory": "8Gi"}},
}
HOLDS = """
import sys
from pathlib import Path
from harness.host import notices

with notices.posted(Path(sys.argv[1]) / "room", {"cpu": 1.5, "memory": 0, "namespaces": ["x"]}):
    print("has it", flush=True)
    sys.stdin.readline()
"""


class Two:
    """An API server with one node of two cores and no pods yet, as at the begin of two runs."""

    async def list(self, api: str, kind: str) -> list[Any]:
        """After a while, in which others ask, too."""
        await asyncio.sleep(0)
        return [NODE] if kind == "Node" else []


KUBE = cast(Kube, Two())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "_POLL_S", 0.01)


def test_two_who_ask_at_the_same_time_do_not_both_get_the_last_of_it(tmp_path: Path) -> None:
    at_once: list[int] = []
    most: list[int] = []

    async def trial(number: int) -> None:
        async with reserved(KUBE, tmp_path, Room(0.8), [f"t{number}"]):
            at_once.append(number)
            most.append(len(at_once))
            await asyncio.sleep(0.05)
            at_once.remove(number)

    async def five() -> None:
        await asyncio.gather(*(trial(number) for number in range(5)))

    asyncio.run(five())
    assert (len(most), max(most)) == (5, 2)


def test_who_needs_more_than_there_is_runs_when_nobody_else_does(tmp_path: Path) -> None:
    order: list[str] = []

    async def trial(name: str, need: Room, waits: bool) -> None:
        if waits:
            await asyncio.sleep(0.02)
        async with reserved(KUBE, tmp_path, need, [name]):
            order.append(f"{name} begins")
            await asyncio.sleep(0.05)
            order.append(f"{name} ends")

    async def both() -> None:
        await asyncio.gather(trial("small", Room(0.1), False), trial("huge", Room(9.0), True))

    asyncio.run(both())
    assert order == ["small begins", "small ends", "huge begins", "huge ends"]


def test_room_of_another_process_counts_until_it_dies(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    told: list[str] = []
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "has it\n"

        async def trial() -> None:
            def tell(text: str) -> None:
                told.append(text)
                process.kill()

            async with reserved(KUBE, tmp_path, Room(1.0), ["mine"], tell=tell):
                assert told, "it did not wait"

        asyncio.run(asyncio.wait_for(trial(), 60))
    finally:
        process.kill()
        process.wait()
    assert told == [f"waiting for room on {tmp_path.name}: other trials have taken it"]


def test_waiting_for_a_trial_of_the_same_process_is_no_news(tmp_path: Path) -> None:
    told: list[str] = []

    async def both() -> None:
        first = reserved(KUBE, tmp_path, Room(1.5), ["a"], tell=told.append)
        async with first as give_back:
            second = asyncio.create_task(wait_behind())
            await asyncio.sleep(0.2)
            assert not second.done(), "there is no room for both"
            give_back()
            await second

    async def wait_behind() -> None:
        async with reserved(KUBE, tmp_path, Room(1.0), ["b"], tell=told.append):
            pass

    asyncio.run(asyncio.wait_for(both(), 60))
    assert told == []
