"""How long a trial is expected to take: by its declarations, then by the last one of its name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from judged import EDGES, HELD, Says, calm

from harness.faults import SlowDependency
from harness.judgement.exposure import SAFETY
from harness.runs import durations


def plan(variant: str) -> Any:
    subject = SimpleNamespace(subject=SimpleNamespace(name="shop"))
    placement = SimpleNamespace(
        subject=subject,
        faults=[SlowDependency("database", latency="3s")],
        isolation=SimpleNamespace(objects=[]),
        released=[],
        placed_roles=dict,
        scale=1,
    )
    scenario = SimpleNamespace(slug="slow", control="8s", objectives=[Says(HELD, needs=20.0)])
    return SimpleNamespace(placement=placement, scenario=scenario, variant=variant)


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))


def test_what_nobody_has_seen_is_estimated_from_its_declarations() -> None:
    expected = durations.START_S + 8 + 20 * SAFETY + durations.AROUND_S
    assert durations.expected(plan("fragile")) == expected


def test_the_last_one_tells_how_long_the_next_will_have_its_share_of_the_cpu() -> None:
    durations.learn(plan("fragile"), calm().until())
    removal_begins, _ = EDGES["remove"]
    assert durations.expected(plan("fragile")) == removal_begins
    assert durations.expected(plan("hardened")) > removal_begins
