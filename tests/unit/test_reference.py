"""The reference page names what scenarios may name, as they write it."""

from __future__ import annotations

import pytest

from harness.authoring.reference import page
from harness.declare import registered


@pytest.mark.parametrize("family", ["fault", "objective", "shows"])
def test_everything_that_the_harness_registers_has_an_entry(family: str) -> None:
    told = page()
    for name, kind in registered(family).items():
        if kind.__module__.startswith("harness."):
            assert f"Stored as `{name}`" in told


def test_an_entry_is_what_an_author_writes_and_what_the_class_itself_says() -> None:
    entry = page().partition("### faults.Hang\n")[2].partition("###")[0]
    assert entry.startswith("\n```python\nfaults.Hang(target: str, *, ")
    assert "pods: int = 1)" in entry
    assert "- Target: a workload with an HTTP probe" in entry
    assert "scope `namespace`; felt within 60s" in entry
    # What every fault inherits is no fault's own.
    assert "Host:" not in entry
    assert 'shows.ready(on: str, *, equals: int = 0, within: str = "90s")' in page()
    assert 'mode: "paused" | "kubelet-stopped" = "paused"' in page()


def test_a_history_tells_what_it_can_be_asked() -> None:
    told = page().partition("## What a history answers")[2]
    assert "- `history.ready_at(role: str, t: int)` -> `int`: ready pods of a role" in told
    assert "- `history.injected_at` -> `int | None`: when injection began" in told
    assert "add_phase" not in told
