"""Every shipped fault, made to do nothing: no fragile variant may then get any verdict.

A fragile variant would fail, a hardened one survive; with nothing broken neither was shown, and a
harness that says otherwise proves nothing with its other verdicts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster.lifecycle import take_down
from harness.faults.base import Fault, FaultContext
from harness.runs import catalog
from harness.runs.catalog import Found
from harness.runs.options import Options, TrialEnd
from harness.runs.run import run_variant

CLUSTER = "harness-no-op"
"""Its own, and gone afterwards: a machine has room for the kubelets of some eight nodes."""
AT_ONCE = 3
"""Trials side by side on two cores; those that need the cluster to themselves wait for it."""
CHOSEN = {tuple(f.name for f in found.scenario.faults): found for found in catalog.discover()}
"""One scenario for each fault, and for those that come together: others would say the same."""
SCENARIOS = {found.slug: next(iter(found.scenario.variants)) for found in CHOSEN.values()}
"""Each with the variant that comes first: the fragile one, where there is one."""


async def _nothing(fault: Fault, ctx: FaultContext) -> None:
    """Instead of breaking anything."""


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TrialEnd]]:
    """One trial of each scenario, by slug, none of which broke anything."""
    with pytest.MonkeyPatch.context() as patch:
        for found in CHOSEN.values():
            for fault in catalog.faults_of(found.scenario):
                patch.setattr(type(fault), "inject", _nothing)
                patch.setattr(type(fault), "felt_within", "6s")
        yield asyncio.run(_run(tmp_path_factory.mktemp("no-op")))
    asyncio.run(take_down(CLUSTER, force=True))


async def _run(folder: Path) -> dict[str, TrialEnd]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(found: Found, variant: str) -> TrialEnd:
        async with turn:
            asked = Options(folder=folder, shape="workers", cluster=CLUSTER)
            return await run_variant(found, variant, asked)

    async with asyncio.TaskGroup() as group:
        tasks = {
            found.slug: group.create_task(one(found, SCENARIOS[found.slug]))
            for found in CHOSEN.values()
        }
    return {slug: task.result() for slug, task in tasks.items()}


@pytest.mark.parametrize("slug", SCENARIOS)
def test_a_fault_that_does_nothing_gets_no_verdict(trials: dict[str, TrialEnd], slug: str) -> None:
    result = trials[slug].result
    # Whom it blames is not asked: three trials on two cores may starve one of their controls.
    assert result.verdict == "inconclusive", result.deciding
    assert not any(felt.ever for felt in result.felt)
    assert trials[slug].residue == ()
