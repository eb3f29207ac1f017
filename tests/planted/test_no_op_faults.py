"""Every shipped fault, made to do nothing: no fragile variant may then get any verdict.

A fragile variant would fail, a hardened one survive; with nothing broken neither was shown, and a
harness that says otherwise proves nothing with its other verdicts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.faults.base import Fault, FaultContext
from harness.runs import catalog
from harness.runs.options import Options, Quiet, TrialEnd
from harness.runs.run import carry_out

SCENARIOS = {found.slug: next(iter(found.scenario.variants)) for found in catalog.discover()}
"""Each with the variant that comes first: the fragile one, where there is one."""


async def _nothing(fault: Fault, ctx: FaultContext) -> None:
    """Instead of breaking anything."""


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TrialEnd]]:
    """One trial of each scenario, by slug, none of which broke anything."""
    with pytest.MonkeyPatch.context() as patch:
        for found in catalog.discover():
            for fault in catalog.faults_of(found.scenario):
                patch.setattr(type(fault), "inject", _nothing)
                patch.setattr(type(fault), "felt_within", "6s")
        folder = tmp_path_factory.mktemp("no-op")
        yield asyncio.run(_run(folder))


async def _run(folder: Path) -> dict[str, TrialEnd]:
    ends: dict[str, TrialEnd] = {}
    for variant in sorted(set(SCENARIOS.values())):
        slugs = [slug for slug, first in SCENARIOS.items() if first == variant]
        asked = Options(scenarios=slugs, variants=(variant,), folder=folder / variant)
        end = await carry_out(asked, Quiet())
        ends.update({trial.plan.scenario.slug: trial for trial in end.trials})
    return ends


@pytest.mark.parametrize("slug", SCENARIOS)
def test_a_fault_that_does_nothing_gets_no_verdict(trials: dict[str, TrialEnd], slug: str) -> None:
    result = trials[slug].result
    assert (result.verdict, result.blame) == ("inconclusive", "harness"), result.deciding
    assert "felt" in result.deciding
    assert not any(felt.ever for felt in result.felt)
    assert trials[slug].residue == ()
