"""Doctor's judgement of a machine, from facts alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.commands import host_checks
from harness.commands.host_checks import FaultRow, HostCheck, Surroundings
from harness.faults import CutConnections
from harness.faults.base import Support
from harness.images import host_facts
from harness.images.host_facts import FEATURES, Feature, HostFacts
from harness.images.node_image import NodeImageChoice

WELL = HostFacts(
    system="Debian",
    cpus=4,
    memory_bytes=16 * 10**9,
    memory_free_bytes=12 * 10**9,
    disk_free_bytes=50 * 10**9,
    root=True,
    cgroup_version=2,
    engine="Docker 28.0 (running)",
    node_image=NodeImageChoice(
        image="node:1", base="kind:1", origin="pulled", reason="a registry answers", present=True
    ),
    registry_answers=True,
    probes={name: Feature(answer="yes") for name in FEATURES},
)
AROUND = Surroundings(
    free_ports=13, ports_wanted=13, python=(3, 11, 7), go="", clusters={"harness": "running"}
)


def found(facts: HostFacts, subject: str, around: Surroundings = AROUND) -> HostCheck:
    (row,) = (row for row in host_checks.findings(facts, around) if row.subject == subject)
    return row


def test_a_good_machine_is_ok_throughout() -> None:
    rows = host_checks.findings(WELL, AROUND)
    assert {row.level for row in rows} == {"ok"}
    assert host_checks.all_needed_is_there(rows)


@pytest.mark.parametrize(
    ("changes", "subject", "level", "words"),
    [
        ({"engine": None, "root": False}, "container engine", "fail", "none answers"),
        ({"cgroup_version": 1}, "cgroup version", "warn", "say so"),
        ({"node_image": None}, "node image", "warn", "once an engine runs"),
        ({"registry_answers": False}, "registries", "ok", "none reached"),
        ({"memory_free_bytes": 10**9}, "memory", "fail", "1.0 GB free"),
        ({"memory_free_bytes": 3 * 10**9}, "memory", "warn", "shape single only"),
        ({"disk_free_bytes": 10**9}, "disk", "fail", "1.0 GB free"),
        ({"disk_free_bytes": 6 * 10**9}, "disk", "warn", "6.0 GB free"),
        ({"cpus": 1}, "processors", "warn", "1"),
    ],
)
def test_what_a_machine_lacks(
    changes: dict[str, Any], subject: str, level: str, words: str
) -> None:
    row = found(replace(WELL, **changes), subject)
    assert (row.level, words in row.found) == (level, True)
    assert level == "ok" or row.remedy
    all_rows = host_checks.findings(replace(WELL, **changes), AROUND)
    assert host_checks.all_needed_is_there(all_rows) is (level != "fail")


def test_too_few_ports() -> None:
    row = found(WELL, "ports", replace(AROUND, free_ports=4))
    assert (row.level, row.found[:7]) == ("fail", "4 of 13")


def test_a_stopped_cluster_is_told_how_to_come_back() -> None:
    row = found(WELL, "cluster shop", replace(AROUND, clusters={"shop": "stopped"}))
    assert row.level == "warn"
    assert "harness up --cluster shop" in row.remedy


def test_features_that_are_missing_and_that_could_not_be_asked() -> None:
    probes = {
        **WELL.probes,
        "netem": Feature(answer="no", why="Error: unknown qdisc"),
        "nfqueue": Feature(answer="unknown", why="nft is not installed"),
    }
    facts = replace(WELL, probes=probes)
    assert "netem" not in facts.features
    assert facts.unknown == {"nfqueue"}
    assert facts.why_not("netem") == "Error: unknown qdisc"
    assert facts.why_not("tbf") == ""
    assert "missing (Error: unknown qdisc)" in found(facts, "kernel: netem").found
    assert "not known (nft is not installed)" in found(facts, "kernel: nfqueue").found


def test_a_fault_says_itself_what_the_host_offers_for_it() -> None:
    class Delay(CutConnections):
        @classmethod
        def host_support(cls, host: HostFacts) -> Support:
            if "netem" in host.features:
                return Support("supported")
            return Support("unsupported", f"needs netem: {host.why_not('netem')}")

    facts = replace(WELL, probes={"netem": Feature(answer="no", why="no such qdisc")})
    assert host_checks.fault_rows(facts, {"delay": Delay}) == [
        FaultRow(fault="delay", state="unsupported", why="needs netem: no such qdisc")
    ]
    assert host_checks.fault_rows(WELL, {"delay": Delay}) == [
        FaultRow(fault="delay", state="supported")
    ]


def test_the_lines_of_the_probe_become_features() -> None:
    text = "tbf\tyes\t\nnetem\tno\tunknown qdisc\nnfqueue\tunknown\tnft is not installed\nodd\n"
    assert host_facts.parse(text) == {
        "tbf": Feature(answer="yes"),
        "netem": Feature(answer="no", why="unknown qdisc"),
        "nfqueue": Feature(answer="unknown", why="nft is not installed"),
        "odd": Feature(answer="unknown"),
    }


def test_the_probe_asks_for_every_feature_that_has_a_purpose() -> None:
    script = (Path(host_facts.__file__).parent / "probe.sh").read_text()
    asked = {
        line.split()[1]
        for line in script.splitlines()
        if line.strip().startswith(("try ", "when ", "say ")) and line.split()[1].isascii()
    }
    assert set(FEATURES) <= asked
