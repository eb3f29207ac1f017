"""A replica that only an autoscaler asked for is lost with its node: seen, and blamed as any other.

The manifest's own number would be met all the time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from trials import carry_out, connected_cluster, history_of

from harness import objectives
from harness.faults import NodeLoss
from harness.runs.options import Options, TrialEnd


@pytest.fixture(scope="module")
def end(workers_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> TrialEnd:
    """The trial, in which nothing replaces the lost pod within the bound."""
    return asyncio.run(_trial(workers_cluster, tmp_path_factory.mktemp("lost-node")))


async def _trial(cluster: str, folder: Path) -> TrialEnd:
    async with connected_cluster(Options(cluster=cluster), "workers") as connections:
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
