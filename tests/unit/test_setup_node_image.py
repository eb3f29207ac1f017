"""Which node image a host gets, and what makes it be built again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import paths
from harness.errors import HostError
from harness.host.commands import CommandError
from harness.host.engine import Engine
from harness.images import node_image
from harness.images.node_image import KIND_DEFAULT, built_base, describe_choice


class Host(Engine):
    """An engine that answers from a table instead of running anything."""

    def __init__(self, cgroup: str, *, registry: bool = False, has: tuple[str, ...] = ()) -> None:
        super().__init__(kind="running", env={})
        self.__dict__.update(cgroup=cgroup, registry=registry, has=has, asked=[])

    def info(self) -> dict[str, Any]:
        return {"CgroupVersion": self.__dict__["cgroup"]}

    def docker(self, *words: str | Path, **options: object) -> str:
        table: Mapping[str, Any] = self.__dict__
        table["asked"].append(words)
        if words[:2] == ("image", "inspect") and words[-1] in table["has"]:
            return str(words[-1])
        if words[:2] == ("manifest", "inspect") and table["registry"]:
            return "{}"
        if options.get("check") is False:
            return ""
        raise CommandError([str(word) for word in words], 1, "no", remedy="")


@pytest.fixture(autouse=True)
def automatic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(node_image.ENVIRONMENT, raising=False)


def test_cgroup_v1_gets_the_built_image_without_asking_a_registry() -> None:
    host = Host("1", registry=True)
    choice = describe_choice(host)
    assert choice.origin == "built"
    assert "cgroup v2" in choice.reason
    assert not any(words[0] == "manifest" for words in host.__dict__["asked"])


def test_cgroup_v2_and_a_registry_get_kinds_own() -> None:
    choice = describe_choice(Host("2", registry=True))
    assert (choice.origin, choice.base) == ("pulled", KIND_DEFAULT)


def test_cgroup_v2_without_a_registry_gets_the_built_image() -> None:
    choice = describe_choice(Host("2"))
    assert (choice.origin, choice.reason) == ("built", "no registry answers")


def test_an_image_that_is_there_needs_no_registry() -> None:
    pulled = describe_choice(Host("2", registry=True)).image
    host = Host("2", has=(pulled,))
    assert describe_choice(host).present
    assert not any(words[0] == "manifest" for words in host.__dict__["asked"])


@pytest.mark.parametrize("cgroup", ["1", "2"])
def test_the_choice_can_be_forced(cgroup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(node_image.ENVIRONMENT, "pulled")
    assert describe_choice(Host(cgroup)).base == KIND_DEFAULT
    monkeypatch.setenv(node_image.ENVIRONMENT, "built")
    assert describe_choice(Host(cgroup, registry=True)).base == built_base()
    monkeypatch.setenv(node_image.ENVIRONMENT, "company/node:1")
    named = describe_choice(Host(cgroup))
    assert (named.origin, named.base) == ("named", "company/node:1")


def test_every_base_has_an_image_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    images = set()
    for wanted in ("pulled", "built", "company/node:1"):
        monkeypatch.setenv(node_image.ENVIRONMENT, wanted)
        images.add(describe_choice(Host("2")).image)
    assert len(images) == 3


@pytest.mark.parametrize(
    ("changed", "system_too"),
    [("files/install-packages", True), ("manifests/default-cni.yaml", True)],
)
def test_a_changed_input_is_another_image(
    changed: str, system_too: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(paths.data("kind-configs"), tmp_path / "kind-configs")
    monkeypatch.setattr(paths, "data", lambda name: tmp_path / name)
    before, image = built_base(), describe_choice(Host("1")).image
    with (tmp_path / "kind-configs/node-image" / changed).open("a") as file:
        file.write("# changed\n")
    assert (built_base() != before) is system_too
    assert describe_choice(Host("1")).image != image


class Offers(Host):
    """A registry that answers questions, and a pull that fails."""

    def info(self) -> dict[str, Any]:
        return {"CgroupVersion": "2", "RegistryConfig": {"Mirrors": ["http://mirror.example/"]}}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    done: list[str] = []
    monkeypatch.setattr(node_image, "_build_system", lambda engine, tag: done.append(tag))
    monkeypatch.setattr(node_image, "_stage", lambda *words, **options: done.append(words[3]))
    monkeypatch.setattr(node_image, "_prune", lambda engine, keep: None)
    return done


def test_a_mirror_counts_as_a_registry_without_being_asked() -> None:
    host = Offers("2")
    assert describe_choice(host).origin == "pulled"
    assert not any(words[0] == "manifest" for words in host.__dict__["asked"])


def test_a_failed_pull_falls_back_to_a_build(built: list[str]) -> None:
    image = node_image.node_image(Offers("2"))
    assert built == [built_base(), image]


def test_a_forced_pull_that_fails_is_an_error(
    built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(node_image.ENVIRONMENT, "pulled")
    with pytest.raises(HostError, match="no registry gives kindest/node") as caught:
        node_image.node_image(Offers("2"))
    assert "HARNESS_NODE_IMAGE=built" in caught.value.remedy
    assert built == []
