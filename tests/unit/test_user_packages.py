"""Faults and objectives of a package of the user's own: found by every process, or refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import declare
from harness.errors import UsageError
from harness.host.user_packages import GROUP, load_plugins
from harness.runs import catalog
from harness.undo import registry

MODULE = """
from dataclasses import dataclass
from harness.declare import Declared, Exposure, Finding, register
from harness.faults.base import Achieved, Fault
from harness.undo.registry import undo

@register("fault", "shop-strike")
@dataclass(frozen=True)
class Strike(Fault):
    onset = property(lambda self: f"the {self.target} went on strike")
    def describe(self): return f"{self.target} on strike"
    async def inject(self, ctx): ctx.record("strike", {})
    async def measure(self, ctx): return Achieved(True, {}, {}, "on strike")

@undo("strike")
async def end(record, world): print("the strike is over")

@register("objective", "shop-open")
@dataclass(frozen=True)
class Open(Declared):
    scope = "namespace"
    watches = ()
    def describe(self): return "the shop is open"
    def judge(self, history): return Finding("met", "it is")
    def control(self, history): return Finding("met", "it is")
    def exposure(self, facts, fault): return None
"""
SCENARIO = """
from harness import Expect, Scenario, faults, objectives
{imports}
scenario = Scenario(
    title="A strike", source="none", subject="checkout",
    faults=[{fault}], objectives=[{objective}], variants={{"given": Expect("survived")}},
)
"""
ANOTHER_PROCESS = """
import asyncio
from harness.declare import load_declared, registered
from harness.undo.record import Record
from harness.undo.registry import undo_of
print(load_declared("objective", {"name": "shop-open"}).describe())
print("shop-strike" in registered("fault"))
record = Record(
    id="1", kind="strike", module="shop_chaos", cluster=None, trial="t", data={}, wall=0
)
asyncio.run(undo_of(record)(record, None))
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with the package and what an installer writes beside it.

    What its import registers here is forgotten again.
    """
    monkeypatch.setattr(declare, "_REGISTRY", dict(declare._REGISTRY))
    monkeypatch.setattr(registry, "_undo_by_kind", dict(registry._undo_by_kind))
    site = tmp_path / "site"
    info = site / "shop_chaos-1.dist-info"
    info.mkdir(parents=True)
    (site / "shop_chaos.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-chaos\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nshop = shop_chaos\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("shop_chaos", None)


def scenario(folder: Path, **parts: str) -> Path:
    given = {
        "imports": "import shop_chaos",
        "fault": 'shop_chaos.Strike("workload")',
        "objective": "shop_chaos.Open()",
    }
    (folder / "strike").mkdir()
    (folder / "strike" / "scenario.py").write_text(SCENARIO.format(**{**given, **parts}))
    return folder / "strike"


def test_another_process_finds_heals_and_judges_it(installed: Path) -> None:
    path = os.pathsep.join([str(installed), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS],
        env={"PYTHONPATH": path, "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n")[:3] == ["the shop is open", "True", "the strike is over"], (
        done.stderr
    )


def test_a_scenario_may_use_what_an_installed_package_brings(
    installed: Path, tmp_path: Path
) -> None:
    found = catalog.load_scenario(scenario(tmp_path))
    assert [fault.describe() for fault in found.scenario.faults] == ["workload on strike"]


def test_what_only_the_scenarios_own_file_knows_is_refused(installed: Path, tmp_path: Path) -> None:
    folder = scenario(
        tmp_path,
        imports="import shop_chaos\nclass Mine(shop_chaos.Open):\n    pass",
        objective="Mine()",
    )
    with pytest.raises(UsageError, match=r"Mine is declared in harness_scenario_strike") as caught:
        catalog.load_scenario(folder)
    assert GROUP in caught.value.remedy


def test_what_is_no_fault_is_refused_and_not_dropped(installed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be injected"):
        catalog.load_scenario(scenario(tmp_path, fault="shop_chaos.Open()"))


def test_a_plugin_that_cannot_be_imported_is_named(installed: Path) -> None:
    broken = installed / "shop_chaos-1.dist-info" / "entry_points.txt"
    broken.write_text(f"[{GROUP}]\nshop = shop_gone.faults\n")
    with pytest.raises(UsageError, match=r"the plugin 'shop' \(shop_gone.faults\) cannot be"):
        load_plugins()
