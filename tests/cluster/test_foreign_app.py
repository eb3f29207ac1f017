"""tests/foreign/shop, Node and MariaDB, put through a scenario by the command that a user types.

The application is as given in one run and with its own `fragile` component in another, at the same
time on the same cluster. What `harness init` and `harness list` say of it, and what is refused
before anything starts, is in tests/unit/test_foreign_subject.py.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SHOP = Path(__file__).parents[1] / "foreign" / "shop"
SLUG = "liveness-checks-database"
POOL = "liveness-hits-main-endpoint"
SLUGS = {"as-given": [SLUG, POOL], "fragile": [SLUG]}
DO_NOT_APPLY = {
    "oom-heap-preallocation": "no release of Deployment/spring-shop is named",
    "rwo-multi-attach": "needs role worker, which shop/harness.toml does not bind",
    "slow-start-without-startup-probe": "delays the start of Deployment/spring-shop",
}


@dataclass(frozen=True)
class Ended:
    """A finished `harness run`: what it printed, its exit code, and its folder."""

    exit_code: int
    said: str
    folder: Path
    variant: str

    @property
    def run(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "run.json").read_text()))

    def verdict(self, slug: str = SLUG) -> dict[str, Any]:
        file = self.folder / f"{slug}__{self.variant}" / "verdict.json"
        return dict(json.loads(file.read_text()))

    def records(self, kind: str, slug: str = SLUG) -> Iterator[dict[str, Any]]:
        file = self.folder / f"{slug}__{self.variant}" / "history.jsonl"
        records = map(json.loads, file.read_text().splitlines())
        return (record for record in records if record["type"] == kind)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    folder = tmp_path_factory.mktemp("foreign")
    running = {name: start(name, folder / name) for name in SLUGS}
    told = {name: child.communicate()[0] for name, child in running.items()}
    return {
        name: Ended(child.returncode, told[name], folder / name, name)
        for name, child in running.items()
    }


def start(variant: str, folder: Path) -> subprocess.Popen[str]:
    harness = Path(sys.executable).with_name("harness")
    words: list[str | Path] = [
        harness,
        "run",
        *SLUGS[variant],
        *DO_NOT_APPLY,
        "--subject",
        SHOP,
        "--variant",
        variant,
    ]
    return subprocess.Popen(
        [*words, "--output", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_as_given_it_survives(ended: dict[str, Ended]) -> None:
    end = ended["as-given"]
    assert end.exit_code == 0, end.said
    assert end.run["by"] == "verdict"
    assert end.run["exit_code"] == 0
    for slug in SLUGS["as-given"]:
        verdict = end.verdict(slug)
        assert verdict["verdict"] == "survived"
        assert verdict["felt"][0]["seconds"] >= verdict["exposure"]["seconds"]


def test_it_was_scaled_and_the_fault_was_felt_in_the_database_s_own_protocol(
    ended: dict[str, Ended],
) -> None:
    (trial,) = ended["as-given"].records("trial")
    assert trial["scale"] == 5
    (facts,) = ended["as-given"].records("facts")
    assert facts["roles"]["workload"]["replicas"] == 3
    measured = list(ended["as-given"].records("measurement"))
    quick = [each for each in measured if not each["felt"]]
    slow = [each for each in measured if each["felt"]]
    # An exchange is one with MariaDB, in a session of the user in the Secret, or it is not ok.
    assert all(each["achieved"]["ok"] for each in measured)
    assert max(each["achieved"]["seconds"] for each in quick) < 1
    assert min(each["achieved"]["seconds"] for each in slow) > 2.4


def test_its_pool_was_occupied_by_what_waits_for_a_table_of_mariadb(
    ended: dict[str, Ended],
) -> None:
    measured = list(ended["as-given"].records("measurement", POOL))
    felt = [each for each in measured if each["felt"]]
    # The probes of this application wait for 2 s, less than the 5 s that the scenario asks for.
    assert {each["asked"]["seconds_at_least"] for each in measured} == {2.0}
    assert felt
    assert all(re.match(r"/books/7 of pod \S+ took", each["note"]) for each in felt)
    assert min(each["achieved"]["seconds"] for each in felt) >= 2


def test_with_liveness_at_the_database_it_fails_for_that_reason(ended: dict[str, Ended]) -> None:
    end = ended["fragile"]
    assert end.exit_code == 1, end.said
    assert end.verdict()["verdict"] == "failed"
    reason = r"3 of 3 replicas restarted by liveness, first \d+ s after the database slowed"
    assert re.match(reason, end.verdict()["deciding"])
    assert re.search(reason, end.said)


@pytest.mark.parametrize("variant", ["as-given", "fragile"])
def test_what_applies_is_listed_first_and_what_does_not_with_its_reason(
    ended: dict[str, Ended], variant: str
) -> None:
    end = ended[variant]
    lines = end.said.splitlines()
    begin = next(i for i, line in enumerate(lines) if re.match(r"\d+ trials? of \d+ scen", line))
    rest = lines.index("These do not apply:") + 1
    planned = [line.split()[:2] for line in lines[begin + 1 : rest - 1]]
    assert planned == [[slug, variant] for slug in SLUGS[variant]]
    left_out = lines[rest : rest + len(DO_NOT_APPLY)]
    said = dict(line.strip().split(": ", 1) for line in left_out)
    stored = {each["slug"]: each["why"] for each in end.run["not_applicable"]}
    assert said == stored
    assert stored.keys() == DO_NOT_APPLY.keys()
    for slug, why in DO_NOT_APPLY.items():
        assert why in stored[slug]
