"""An application of another language and database than the samples, as its owner would add it.

tests/foreign/shop is Node and MariaDB, rendered by Helm. Here: what `harness init` proposes for it,
what `harness list` says, and what is refused before anything starts. Its trials are in
tests/cluster/test_foreign_app.py.
"""

from __future__ import annotations

import asyncio
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import build
from harness.errors import HarnessError, ManifestError
from harness.images.reading import read
from harness.images.supply import Supply
from harness.manifest.objects import Object
from harness.manifest.subject_reading import load_subject

SHOP = Path(__file__).parents[1] / "foreign" / "shop"


def invoke(*words: str) -> str:
    result = CliRunner().invoke(build(["init", "list"]), list(words))
    if isinstance(result.exception, HarnessError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


def test_the_proposal_has_the_right_roles() -> None:
    text = invoke("init", str(SHOP), "--print")
    proposed, committed = tomllib.loads(text), tomllib.loads((SHOP / "harness.toml").read_text())
    # What only its owner can know of the application is added by hand.
    roles = committed["roles"]
    assert roles["workload"].pop("path")
    assert roles["database"].pop("lock")
    assert proposed["roles"] == {**roles, "workload": roles["workload"]["ref"]}
    assert proposed["objectives"] == committed["objectives"]
    assert "# guessed: port 80 looks like HTTP" in text
    assert "# guessed: its pods run acme/mariadb:10.11; used by spring-shop" in text


def test_what_a_person_adds_to_the_proposal_is_little() -> None:
    proposed = tomllib.loads(invoke("init", str(SHOP), "--print"))
    committed = tomllib.loads((SHOP / "harness.toml").read_text())
    by_hand = committed["build"].keys() - proposed["build"].keys()
    assert list(by_hand) == proposed["subject"].pop("images")
    assert committed["subject"] == {**proposed["subject"], "variants": "variants"}
    assert "#" not in committed["load"]["endpoints"]
    assert committed["load"].keys() == proposed["load"].keys()


def test_init_writes_the_file_beside_the_manifests(copy: Path) -> None:
    (copy / "harness.toml").unlink()
    invoke("init", str(copy))
    assert str(load_subject(copy).role("database").ref) == "Service/spring-mariadb:3306"


def test_which_scenarios_apply_and_why_others_do_not() -> None:
    words = " ".join(invoke("list", "--subject", str(SHOP)).split())
    assert "liveness-checks-database yes: as-given, fragile" in words
    assert "deadlock-without-liveness yes: as-given, fragile" in words
    assert "rwo-multi-attach no: needs role worker, which shop/harness.toml does not bind" in words
    assert "liveness-hits-main-endpoint yes: as-given, fragile" in words
    assert "nothing is known that delays the start of Deployment/spring-shop" in words
    assert "no release of Deployment/spring-shop is named" in words


@pytest.mark.parametrize(
    ("file", "old", "new", "message", "remedy"),
    [
        ("k8s/shop.yaml", "kind: Deployment", "kind: Deploymnt",
         'k8s/shop.yaml: Deploymnt/spring-shop .kind: Kubernetes 1.36 knows no kind Deploymnt',
         '"Deployment"?'),
        ("k8s/shop.yaml", "failureThreshold: 3", "failureTreshold: 3",
         "[shop].livenessProbe.failureTreshold: no such field", '"failureThreshold"?'),
        ("k8s/mariadb.yaml", "periodSeconds: 30", 'periodSeconds: "30"',
         "[mariadb].livenessProbe.periodSeconds: '30' is not of type integer", "type integer"),
        ("harness.toml", "entry = ", "# entry = ", "no entry is bound", 'entry = "Service/'),
        ("harness.toml", "spring-shop:80", "spring-shop:8080",
         "Service/spring-shop has no port 8080", "80 (http)"),
        ("harness.toml", '"mariadb-password"', '"password"',
         "Secret/spring-mariadb has no key password", "mariadb-password"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_starts(
    copy: Path, file: str, old: str, new: str, message: str, remedy: str
) -> None:
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ManifestError) as raised:
        invoke("list", "--subject", str(copy))
    assert message in raised.value.message
    assert remedy in raised.value.remedy


class EngineWith:
    """A container engine that has these images."""

    def __init__(self, *images: str) -> None:
        self.images = images

    def succeeds(self, *words: str) -> bool:
        assert words[:2] == ("image", "inspect")
        return words[2] in self.images


def required(copy: Path, *have: str, more: tuple[str, ...] = ()) -> None:
    supply: Any = Supply()
    supply.__dict__["engine"] = EngineWith(*have)
    objects: list[Object] = asyncio.run(read([copy / "k8s"])).objects
    asyncio.run(supply.require_images(load_subject(copy), objects, more=more))


def test_missing_images_are_named_all_at_once_with_who_runs_them(copy: Path) -> None:
    required(copy)
    toml = copy / "harness.toml"
    text = toml.read_text()
    toml.write_text(text[: text.index("[build.")] + text[text.index("[roles]") :])
    required(copy, "acme/shop-api:2.3.0", "acme/mariadb:10.11")
    with pytest.raises(ManifestError) as raised:
        required(copy, "acme/mariadb:10.11", more=("acme/shop-api:3.0.0",))
    assert "Deployment/spring-shop[migrate]" in raised.value.message
    assert "acme/shop-api:3.0.0 (a fault)" in raised.value.message
    assert "acme/mariadb" not in raised.value.message
    assert '[build."acme/shop-api:' in raised.value.remedy
