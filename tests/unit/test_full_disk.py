"""A disk that is full at any byte: what is judged live is what is on the disk, and nothing raises
where something has to be healed."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from judged import calm

from harness.errors import HostError
from harness.history.history import History
from harness.history.writer import Writer
from harness.host.files import write_json

real_write = os.write


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the bytes that a file may have; every write takes at most 100 at a time."""
    most = [1 << 40]

    def write(descriptor: int, data: bytes) -> int:
        left = most[0] - os.fstat(descriptor).st_size
        if left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data[: min(left, 100)])

    monkeypatch.setattr(os, "write", write)
    return lambda bytes_: most.__setitem__(0, bytes_)


def test_what_is_judged_live_is_what_is_on_a_disk_that_is_full_at_any_byte(
    room: Callable[[int], None], tmp_path: Path
) -> None:
    story = calm().until(12).records[:40]
    size = sum(len(orjson.dumps(each)) + 1 for each in story)
    for number, most in enumerate(range(1, size + 200, 97)):
        folder = tmp_path / str(number)
        folder.mkdir()
        live = History()
        writer = Writer(folder, mirror=live)
        room(most)
        for record in story:
            rest = {k: v for k, v in record.items() if k not in ("t", "type", "wall")}
            writer.append(record["type"], t=record["t"], **rest)
        writer.append("problem", blame="host", message="x")
        room(1 << 40)
        writer.append("note", text="somebody made room")
        writer.append("problem", blame="host", message="the disk was full")
        writer.close()
        read = History.read(folder)
        assert read.records == orjson.loads(orjson.dumps(live.records))
        assert "the disk was full" in [each.message for each in read.problems]
        # Nothing but the problem stands behind a gap.
        whole = len(story) + 3
        assert len(read.records) == whole or all(r["type"] != "note" for r in read.records)


@pytest.mark.asyncio
async def test_who_waits_for_it_learns_that_the_history_cannot_be_written(
    room: Callable[[int], None], tmp_path: Path
) -> None:
    writer = Writer(tmp_path)
    waiting = asyncio.create_task(writer.failed())
    writer.append("note", text="there is room")
    await asyncio.sleep(0)
    assert not waiting.done()
    room(10)
    writer.append("note", text="there is none")
    with pytest.raises(HostError, match=r"history\.jsonl cannot be written: .*No space left"):
        await waiting
    writer.close()


@pytest.mark.parametrize("most", [0, 1, 100, 150])
def test_a_json_file_is_replaced_whole_or_stays_as_it_was(
    most: int, room: Callable[[int], None], tmp_path: Path
) -> None:
    path = tmp_path / "verdict.json"
    write_json(path, {"verdict": "x" * 300})
    before = path.read_bytes()
    assert orjson.loads(before) == {"verdict": "x" * 300}
    room(most)
    with pytest.raises(HostError, match=r"verdict\.json cannot be written") as caught:
        write_json(path, {"verdict": "y" * 300})
    assert caught.value.remedy
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
