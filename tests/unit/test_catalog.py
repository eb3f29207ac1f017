"""Finding scenarios, and what is said of files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.manifest.variants import Layers
from harness.runs import catalog
from harness.runs.catalog import Found

GOOD = """
from harness import Expect, Scenario, faults, objectives
scenario = Scenario(
    title="A slow database",
    source="000",
    subject="checkout",
    faults=[faults.SlowDependency("database", latency="3s")],
    objectives=[
        objectives.restarts("workload", at_most=0),
        objectives.availability(at_least=0.99),
        objectives.recovery(within="readiness + 5s"),
        objectives.latency(at_most="2s"),
    ],
    variants={"fragile": Expect("failed"), "hardened": Expect("survived")},
)
"""


def write(folder: Path, slug: str, text: str) -> Path:
    (folder / slug).mkdir(parents=True)
    (folder / slug / "scenario.py").write_text(text)
    return folder / slug


def found(folder: Path) -> Found:
    return catalog.load_scenario(write(folder, "slow", GOOD))


def test_shipped_scenarios_are_found_with_something_for_every_variant_but_one() -> None:
    shipped = catalog.discover()
    assert "liveness-checks-database" in [each.slug for each in shipped]
    for each in shipped:
        assert (each.folder / "README.md").is_file()
        plain = [name for name in each.scenario.variants if each.layers(name) == each.shared]
        assert len(plain) <= 1, f"{each.slug}: nothing tells {', '.join(plain)} from each other"


def test_slug_is_the_folder_s_name_and_folders_without_a_scenario_are_passed_over(
    tmp_path: Path,
) -> None:
    write(tmp_path, "b", GOOD)
    write(tmp_path, "a", GOOD)
    (tmp_path / "notes").mkdir()
    assert [each.slug for each in catalog.discover(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("scenario = (", "SyntaxError"),
        ("scenario = 3", "defines no `scenario`"),
        ("x = 1", "defines no `scenario`"),
        (GOOD.replace('"3s"', '"soon"'), '"soon" is no duration'),
        (GOOD.replace('"survived"', '"fine"'), "cannot be expected to be 'fine'"),
    ],
)
def test_file_that_is_no_scenario(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.load_scenario(write(tmp_path, "x", text))
    assert "scenario.py" in caught.value.message
    assert message in caught.value.message
    assert caught.value.remedy


def test_folder_without_a_scenario(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        catalog.load_scenario(tmp_path)


def test_choosing_by_name(tmp_path: Path) -> None:
    each = found(tmp_path)
    assert catalog.choose([each], []) == [each]
    assert catalog.choose([each], ["slow"]) == [each]
    with pytest.raises(UsageError, match=r"no scenario 'slwo'.*slow") as caught:
        catalog.choose([each], ["slwo"])
    assert "harness list" in caught.value.remedy


def test_unknown_sample_subject_names_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="no sample subject 'shop'") as caught:
        catalog.sample_subject("shop")
    assert "checkout" in caught.value.remedy


def test_fault_without_the_cycle_of_one_is_refused(tmp_path: Path) -> None:
    """Left out, the scenario would be judged without it."""
    text = """
from harness import Expect, Scenario, faults, objectives

class Sunspots:
    scope, name, target, onset = "namespace", "sunspots", "workload", "the sun flared"

    def describe(self):
        return "sunspots"

scenario = Scenario(
    title="t", source="s", subject="checkout",
    faults=[faults.Hang("workload"), Sunspots()],
    objectives=[objectives.restarts("workload")],
    variants={"a": Expect("survived")},
)
"""
    with pytest.raises(UsageError, match=r"Sunspots object.* cannot be injected") as caught:
        catalog.load_scenario(write(tmp_path, "sun", text))
    assert "derive it from Fault" in caught.value.remedy


def test_what_a_variant_lays_over_its_subject(tmp_path: Path) -> None:
    folder = write(tmp_path, "slow", GOOD)
    for name in ("with/quota.yaml", "fragile.yaml", "hardened/kustomization.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    found = catalog.load_scenario(folder)
    quota = folder / "with" / "quota.yaml"
    assert found.layers("fragile") == Layers(files=(quota, folder / "fragile.yaml"))
    assert found.layers("hardened") == Layers(component=folder / "hardened", files=(quota,))
    assert found.layers("as-it-is") == found.shared == Layers(files=(quota,))


def test_a_release_that_nothing_applies_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path, "slow", GOOD)
    (folder / "release.yaml").write_text("{}")
    with pytest.raises(UsageError, match="no fault applies its release"):
        catalog.load_scenario(folder)


def test_a_fault_that_begins_after_no_time_is_told(tmp_path: Path) -> None:
    text = GOOD.replace('latency="3s"', 'latency="3s", after="soon"')
    with pytest.raises(UsageError, match="soon"):
        catalog.load_scenario(write(tmp_path, "slow", text))
