"""The fixtures for authors on a real cluster.

The code blocks of docs/testing-with-pytest.md are executed into this module, so they are its first
tests, exactly as the page shows them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.authoring.workbench import Workbench
from harness.errors import FaultError
from harness.faults import CutConnections

PAGE = Path(__file__).parents[2] / "docs" / "testing-with-pytest.md"


def _blocks() -> str:
    """The page with everything but its Python blanked out, so that line numbers stay right."""
    text = PAGE.read_text(encoding="utf-8")
    kept = ["" for _ in text.splitlines()]
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        first = text[: block.start(1)].count("\n")
        for number, line in enumerate(block[1].splitlines()):
            kept[first + number] = line
    return "\n".join(kept)


exec(compile(_blocks(), str(PAGE), "exec"), globals())


async def gone(bench: Workbench, name: str) -> bool:
    ground = await bench.ground()
    return await ground.kube.find("v1", "Namespace", name) is None


async def test_every_way_out_of_a_block_heals(deploy, inject) -> None:  # type: ignore[no-untyped-def]
    shop = await deploy("checkout", scale=5, in_path=["database"])
    refused = CutConnections(shop.role("database"), mode="refuse")

    with pytest.raises(FaultError, match="was not felt before its block was left") as early:
        async with inject(refused):
            pass
    assert "until_felt" in early.value.remedy

    with pytest.raises(KeyError, match="the author's own error"):
        async with inject(refused) as fault:
            await fault.until_felt()
            assert fault.achieved["ok"] is False
            raise KeyError("the author's own error")
    assert not await shop.stage.measure(0), "healed after an exception"
    assert "KeyError was raised while injected: database refuses connections" in shop.notes[-1]

    async with inject(refused) as outer:
        await outer.until_felt()
        blackhole = CutConnections(shop.role("database"), mode="blackhole")
        assert not outer._measuring.done()
        del blackhole
    assert not await shop.stage.measure(0)
    assert shop.history.phase("heal").closed


async def test_what_a_test_made_is_gone_afterwards(_workbench: Workbench) -> None:
    shop = await _workbench.deploy("payment", scale=5)
    space = await _workbench.namespace()
    assert not await gone(_workbench, shop.namespace)
    kube = (await _workbench.ground()).kube
    await _workbench.close()
    # The connections are closed with the bench; a fresh one looks.
    del kube
    other = Workbench(_workbench.settings)
    try:
        assert await gone(other, shop.namespace)
        assert await gone(other, str(space))
        assert (await other.ground()).ledger.open_records == []
    finally:
        await other.close()
    _workbench.apps.clear()
    _workbench.namespaces.clear()
