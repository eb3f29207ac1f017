"""The container engine dies under a cluster: it is recognised, and the cluster made anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from harness import paths
from harness.cluster import condition, lifecycle
from harness.cluster.leases import cluster_lease
from harness.host.engine import Engine, ensure_engine, find_engine
from harness.images.supply import Supply
from harness.kube.client import Kube

INTERFACES = Path("/sys/class/net")


def processes_of_ours() -> list[psutil.Process]:
    """The private engine, its containerd and their shims: whose words name our state folder."""
    ours = str(paths.engine())
    return [
        process
        for process in psutil.process_iter(["cmdline", "name"])
        if process.info["name"]
        in ("dockerd", "containerd", "containerd-shim-runc-v2", "docker-proxy")
        and any(word.startswith(ours) or f"={ours}" in word for word in process.info["cmdline"])
    ]


def inits(engine: Engine) -> list[int]:
    """The first process of every container that runs, as this machine counts them."""
    found = engine.docker("ps", "--quiet", "--no-trunc").split()
    return [int(engine.docker("inspect", "--format", "{{.State.Pid}}", each)) for each in found]


def on_bridges() -> set[str]:
    """Name and index of every interface that is on a bridge of an engine: never given twice."""
    names = {port.name for port in INTERFACES.glob("br-*/brif/*")}
    return {f"{name} {(INTERFACES / name / 'ifindex').read_text().strip()}" for name in names}


@pytest.mark.asyncio
async def test_a_cluster_whose_engine_was_killed_is_made_anew() -> None:
    if ensure_engine().kind != "private":
        pytest.skip("this machine's own engine carries the clusters, and is not ours to kill")
    before = await lifecycle.bring_up()
    # Nobody else may be in the middle of something.
    async with cluster_lease(before.folder, exclusive=True, purpose="killing the engine") as lease:
        interfaces = on_bridges()
        orphans = [psutil.Process(pid) for pid in inits(ensure_engine())]
        assert orphans
        dead = processes_of_ours()
        assert "dockerd" in {process.name() for process in dead}
        for process in dead:
            process.kill()
        await asyncio.to_thread(psutil.wait_procs, dead, 20)
        assert find_engine() is None
        seen = await condition.observe(before.name, None, ours_to_change=True)
        assert seen is not None
        assert (seen.state, seen.reason) == ("stopped", "the container engine does not run")

        after = await lifecycle.bring_up(lease=lease)
    assert after.uid != before.uid, "made anew, and known to be another one"
    left = [process for process in orphans if process.is_running()]
    assert not left, "what ran in the old engine's containers would share addresses with the new"
    assert not interfaces & on_bridges(), "and so would a network that outlives its processes"
    async with Kube.connect(after.kubeconfig, after.context) as kube:
        assert await kube.uid() == after.uid
    # The registry that its nodes pull from is back as well, with what was in it.
    assert "@sha256:" in (await Supply().own_images())["agent"]
