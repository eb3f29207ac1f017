"""The fixtures for authors on a real cluster.

The code blocks of the README and of docs/testing-with-pytest.md are executed into this module, so
they are its first tests, exactly as the pages show them.
"""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.authoring import AuthoringSession, Namespace
from harness.cluster.clusters import Cluster
from harness.errors import FaultError, UsageError
from harness.faults import CutConnections
from harness.kube.client import Kube

ROOT = Path(__file__).parents[2]


def _blocks(page: Path) -> str:
    """A page with everything but its Python blanked out, so that line numbers stay right."""
    text = page.read_text(encoding="utf-8")
    kept = ["" for _ in text.splitlines()]
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        first = text[: block.start(1)].count("\n")
        for number, line in enumerate(block[1].splitlines()):
            kept[first + number] = line
    return "\n".join(kept)


for _page in (ROOT / "README.md", ROOT / "docs" / "testing-with-pytest.md"):
    exec(compile(_blocks(_page), str(_page), "exec"), globals())


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

    # Another round, after the first ones were healed.
    async with inject(refused) as again:
        await again.until_felt()
        with pytest.raises(UsageError, match="is in at the same target"):
            async with inject(CutConnections(shop.role("database"), mode="blackhole")):
                pass
    assert not await shop.stage.measure(0)
    assert shop.history.phase("heal").closed


INTERRUPTED = """
import asyncio
from harness.faults import CutConnections

async def test_it(deploy, inject, namespace):
    shop = await deploy("payment", scale=5)
    async with inject(CutConnections(shop.role("database"))) as fault:
        await fault.until_felt()
        print("NAMESPACES", shop.namespace, namespace, flush=True)
        await asyncio.Event().wait()
"""


def test_sigterm_and_so_ctrl_c_heal_and_remove(cluster: Cluster, tmp_path: Path) -> None:
    settings = (
        "[pytest]\naddopts = -p no:locust -s\nasyncio_default_fixture_loop_scope = function\n"
    )
    (tmp_path / "pytest.ini").write_text(settings)
    (tmp_path / "test_it.py").write_text(INTERRUPTED)
    # As a shell starts what it puts into the background: with Ctrl-C ignored.
    words = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    words += [sys.executable, "-m", "pytest", f"--harness-cluster={cluster.name}", "test_it.py"]
    child = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        told: list[str] = []
        for line in child.stdout:
            told.append(line)
            if "NAMESPACES" in line:
                break
        names = told[-1].split()[-2:]
        assert "NAMESPACES" in told[-1], "".join(told)
        # Handled as SIGINT, so that one test is about both.
        child.send_signal(signal.SIGTERM)
        rest, _ = child.communicate(timeout=120)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == pytest.ExitCode.INTERRUPTED, rest
    assert asyncio.run(left(cluster, names)) == []


async def left(cluster: Cluster, names: list[str]) -> list[str]:
    async with Kube.connect(cluster.kubeconfig, cluster.context) as kube:
        return [name for name in names if await kube.find("v1", "Namespace", name)]


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> AuthoringSession:
    """What the fixtures are methods of."""
    made: AuthoringSession = request.getfixturevalue("_session")
    return made


async def test_what_a_test_made_is_gone_afterwards(
    bench: AuthoringSession, namespace: Namespace
) -> None:
    shop = await bench.deploy("payment", scale=5)
    before = await bench.connections()
    assert await before.kube.find("v1", "Namespace", shop.namespace)
    await bench.close()
    assert before.ledger.open_records == []

    other = AuthoringSession(bench.settings)
    try:
        kube = (await other.connections()).kube
        assert await kube.find("v1", "Namespace", shop.namespace) is None
        assert await kube.find("v1", "Namespace", str(namespace)) is None
    finally:
        await other.close()
