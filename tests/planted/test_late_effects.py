"""A command that its process had sent when it was killed, and that is carried out after the healing
has begun: it is undone nevertheless."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from trials import connected_cluster

from harness.host.engine import Engine
from harness.kube.eventually import eventually
from harness.runs.options import Options

# Records and pauses a node, through a `docker` that takes its time.
VICTIM = """
import asyncio, dataclasses, sys
from harness.cluster import clusters
from harness.faults import node_loss
from harness.host.engine import find_engine
from harness.undo.ledger import Ledger

engine = find_engine()
cluster = clusters.load_record(sys.argv[1]).cluster(engine)
slow = {**engine.env, "PATH": f"{sys.argv[2]}:{engine.env['PATH']}"}
node = cluster.nodes[0].name
data = {"node": node, "mode": "paused", "guard": ""}
Ledger.open().record(node_loss.UNDO, data, cluster=cluster, trial="late")
asyncio.run(dataclasses.replace(engine, env=slow).adocker("pause", node))
"""
SLOW_DOCKER = """#!/bin/sh
folder=${PATH%%:*} PATH=${PATH#*:}
touch "$folder/sent"; sleep 6; docker "$@"; touch "$folder/carried-out"
"""


async def started(*words: str) -> asyncio.subprocess.Process:
    """A Python process that can be read."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe)


@pytest.mark.asyncio
async def test_a_pause_that_comes_after_the_healing_began_is_undone(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(SLOW_DOCKER)
    docker.chmod(0o755)
    async with connected_cluster(Options(), "single") as connections:
        cluster = connections.cluster
    assert isinstance(cluster.engine, Engine)
    victim = await started("-c", VICTIM, cluster.name, str(tmp_path))
    await eventually((tmp_path / "sent").exists, within=30, what="the pause was sent")
    victim.kill()
    await victim.wait()
    healer = await started("-m", "harness.cli", "heal")
    told = (await healer.communicate())[0].decode()
    assert healer.returncode == 0, told
    assert "undone: lost-node" in told
    assert (tmp_path / "carried-out").exists(), "it came too late to prove anything"
    paused = ["inspect", "--format", "{{.State.Paused}}", cluster.nodes[0].name]
    assert (await cluster.engine.adocker(*paused)).strip() == "false"
