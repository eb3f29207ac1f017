"""Attempts that show nothing: of an intruder who is able to nothing, and of one without an answer.

Both are refused everywhere, as in a subject that is locked down; neither may survive by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from trials import carry_out, connected_cluster, history_of

from harness import objectives
from harness.declare import Objective
from harness.faults import Exploit
from harness.faults.base import Fault
from harness.runs.options import Options, TrialEnd

DROP, BECOME = (
    Exploit("workload", technique="payload-drop"),
    Exploit("store", technique="root-user"),
)


async def everything(folder: Path) -> dict[str, TrialEnd]:
    """Both trials, one after the other on one cluster."""
    async with connected_cluster(Options(), "single") as connections:

        async def run(name: str, fault: Exploit, component: str | None = None) -> TrialEnd:
            judged_by: list[Objective] = [objectives.refused(fault.target), *objectives.SERVES]
            return await carry_out(
                connections,
                folder,
                name=name,
                faults=[fault],
                judged_by=judged_by,
                component=component,
            )

        return {
            "unable": await run("unable", DROP, "no-shared-memory"),
            "unanswered": await run("unanswered", BECOME),
        }


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TrialEnd]]:
    """Every trial by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fault, "felt_within", "6s")
        yield asyncio.run(everything(tmp_path_factory.mktemp("attempts")))


def blamed(end: TrialEnd) -> tuple[str, str | None]:
    return end.result.verdict, end.result.blame


def test_a_refusal_without_its_positive_control_proves_nothing(ends: dict[str, TrialEnd]) -> None:
    end = ends["unable"]
    assert blamed(end) == ("inconclusive", "harness"), end.result.deciding
    assert "cannot even reach for a file in /dev/shm, which is permitted" in end.result.deciding
    # Everything else would have let it survive.
    assert {finding.state for _, finding in end.result.objectives} == {"met"}
    assert {a.code for a in history_of(end).attempts} == {"EROFS"}


def test_an_attempt_that_nobody_answered_proves_nothing(ends: dict[str, TrialEnd]) -> None:
    end = ends["unanswered"]
    assert blamed(end) == ("inconclusive", "harness"), end.result.deciding
    assert "no answer to checkout-db-" in end.result.deciding
    attempts = history_of(end).attempts
    assert {each.answer for each in attempts} == {"silent"}
    assert {each.permitted for each in attempts} == {True, False}


def test_both_left_the_cluster_as_it_was(ends: dict[str, TrialEnd]) -> None:
    assert {name: end.residue for name, end in ends.items() if end.residue} == {}
