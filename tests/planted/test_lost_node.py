"""A replica that only an autoscaler asked for is lost with its node: seen, and blamed as any other.

The manifest's own number would be met all the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from trials import carry_out, connected_cluster, history_of

from harness import objectives
from harness.cluster.lifecycle import take_down
from harness.faults import NodeLoss
from harness.runs.options import Options, TrialEnd

CLUSTER = "harness-lost-node"


@pytest.fixture(scope="module")
def end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialEnd]:
    """The trial, in which nothing replaces the lost pod within the bound; its cluster goes."""
    yield asyncio.run(_trial(tmp_path_factory.mktemp("lost-node")))
    asyncio.run(take_down(CLUSTER, force=True))


async def _trial(folder: Path) -> TrialEnd:
    async with connected_cluster(Options(cluster=CLUSTER), "workers") as connections:
        return await carry_out(
            connections,
            folder,
            name="autoscaled",
            component="autoscaled",
            faults=[NodeLoss("workload", mode="paused")],
            judged_by=[objectives.self_healing("workload", within="60s")],
        )


def test_a_replica_of_an_autoscaler_is_missed(end: TrialEnd) -> None:
    assert end.result.verdict == "failed", end.result.deciding
    assert "1 of 2 pods of workload ready" in end.result.deciding
    assert history_of(end).injected_at is not None
    assert end.residue == ()
