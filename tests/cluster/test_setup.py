"""Set-up on the real engine: images, the registry, the tools' layer over either base."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import paths
from harness.errors import HostError, UsageError
from harness.host import go_programs
from harness.host.commands import CommandError
from harness.host.engine import Engine, ensure_engine
from harness.images import node_image
from harness.images.base_image import BASE_IMAGE, ensure_base
from harness.images.publish import build_image, publish_local_image, push_image
from harness.images.registry import NETWORK, PULL_CONTAINER, PUSH_CONTAINER, ensure_registry

NAME = f"setup-test-{os.getpid()}"

# One HTTP request from a container: the status, or that nobody could be reached.
ASK = """
use IO::Socket::INET;
my ($host, $method, $path) = @ARGV;
my $all = IO::Socket::INET->new(PeerAddr => $host, Timeout => 3) or print("no way"), exit;
my $accept = "application/vnd.docker.distribution.manifest.v2+json";
print $all "$method /v2/$path HTTP/1.0\r\nContent-Length: 0\r\nAccept: $accept\r\n\r\n";
print((split " ", <$all>)[1]);
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return ensure_engine()


@pytest.fixture
def context(tmp_path: Path, engine: Engine) -> Iterator[Path]:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY greeting /greeting\n")
    (tmp_path / "greeting").write_text("hello")
    yield tmp_path
    names = engine.docker("image", "ls", "--quiet", f"resilience-harness/{NAME}").split()
    if names:
        engine.docker("rmi", "--force", *sorted(set(names)))


def test_a_go_module_that_is_not_what_it_was_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(go_programs.KIND.module(), tmp_path / "go/kind")
    sums = tmp_path / "go/kind/go.sum"
    other = sums.read_text().splitlines()
    line = next(n for n, text in enumerate(other) if text.startswith("sigs.k8s.io/kind v0"))
    other[line] = " ".join([*other[line].split()[:2], f"h1:{'A' * 43}="])
    sums.write_text("\n".join(other) + "\n")
    monkeypatch.setattr(paths, "data", lambda name: tmp_path)
    with pytest.raises(CommandError, match="checksum mismatch"):
        go_programs.kind_sources()


def test_an_unchanged_folder_is_not_built_again(engine: Engine, context: Path) -> None:
    log = paths.build() / "logs" / f"image-{NAME}.log"
    first = build_image(engine, NAME, context)
    written = log.read_text()
    assert build_image(engine, NAME, context) == first
    assert log.read_text() == written
    (context / "greeting").write_text("good day")
    assert build_image(engine, NAME, context) != first


def test_another_image_under_a_builds_tag_is_not_taken_for_it(
    engine: Engine, context: Path
) -> None:
    tag = build_image(engine, NAME, context)
    built = engine.docker("image", "inspect", "--format", "{{.Id}}", tag)
    engine.docker("tag", ensure_base(engine), tag)
    assert build_image(engine, NAME, context) == tag
    assert engine.docker("image", "inspect", "--format", "{{.Id}}", tag) == built


def test_a_failing_build_shows_why(engine: Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY absent /\n")
    with pytest.raises(HostError, match="absent"):
        build_image(engine, NAME, context)


def test_a_pushed_image_is_found_by_digest_and_not_pushed_twice(
    engine: Engine, context: Path
) -> None:
    registry = ensure_registry(engine)
    local = build_image(engine, NAME, context)
    reference = push_image(engine, registry, local)
    assert reference.digest.startswith("sha256:")
    assert str(reference) == f"registry.harness/{NAME}@{reference.digest}"
    assert push_image(engine, registry, local) == reference
    # Under its tag another image stands in the registry: it is pushed over, not taken for this one.
    identity = engine.docker("image", "inspect", "--format", "{{.Id}}", local)
    stolen = f"{registry.push_host}/{NAME}:{identity.removeprefix('sha256:')[:24]}"
    engine.docker("tag", ensure_base(engine), stolen)
    engine.docker("push", "--quiet", stolen)
    engine.docker("rmi", stolen)
    assert push_image(engine, registry, local) == reference
    # The name that the push needed is not left in the user's engine.
    assert registry.push_host not in engine.docker("image", "ls", "--format", "{{.Repository}}")


def test_what_nodes_and_pods_reach_gives_images_and_takes_none(engine: Engine) -> None:
    registry = ensure_registry(engine)
    reference = push_image(engine, registry, ensure_base(engine))
    name = f"{reference.name}/manifests/{reference.digest}"
    inside = engine.docker(
        "inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", PUSH_CONTAINER
    )
    pod = ["run", "--rm", f"--network={NETWORK}", "--entrypoint=perl", BASE_IMAGE, "-e", ASK]
    known = f"{PULL_CONTAINER}:5000"
    assert engine.docker(*pod, known, "GET", name) == "200"
    assert engine.docker(*pod, known, "POST", f"{reference.name}/blobs/uploads/") != "202"
    assert engine.docker(*pod, known, "DELETE", name) != "202"
    assert engine.docker(*pod, f"{inside}:5000", "GET", name) == "no way"
    assert engine.docker(*pod, known, "GET", name) == "200", "it was deleted"


def test_a_missing_image_of_the_user_is_named(engine: Engine) -> None:
    with pytest.raises(UsageError, match="shop/absent:1"):
        publish_local_image(engine, ensure_registry(engine), "shop/absent:1")


def test_the_tools_come_over_any_base_through_the_same_stage(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base that is pulled elsewhere, with a locally built image standing in for it."""
    stand_in = f"stand-in/{NAME}:1"
    base = node_image.built_base()
    source = base if engine.succeeds("image", "inspect", base) else ensure_base(engine)
    engine.docker("tag", source, stand_in)
    monkeypatch.setenv(node_image.ENVIRONMENT, stand_in)
    image = ""
    try:
        image = node_image.node_image(engine)
        assert node_image.describe_choice(engine).present
        assert node_image.node_image(engine) == image
        programs = {"strace", "ipset", "xfs_io", "socat", "nft", "conntrack"}
        look = f"for name in {' '.join(programs)}; do command -v $name; done; true"
        words = ["run", "--rm", "--entrypoint=sh"]
        found = engine.docker(*words, image, "-c", look).split()
        assert {Path(path).name for path in found} == programs
        before = engine.docker(*words, stand_in, "-c", look).split()
        assert "strace" not in {Path(path).name for path in before}, "the base shows nothing"
        engine.docker("run", "--rm", "--entrypoint=strace", image, "-V")
        template = "{{json .Config.Entrypoint}} {{json .Config.StopSignal}}"
        inherited = [
            engine.docker("image", "inspect", "--format", template, name)
            for name in (stand_in, image)
        ]
        assert inherited[0] == inherited[1]
    finally:
        engine.docker("rmi", *filter(None, [image, stand_in]))


def test_the_base_image_is_there_once_asked_for(engine: Engine) -> None:
    assert ensure_base(engine) == BASE_IMAGE
    assert "Debian" in engine.docker("run", "--rm", BASE_IMAGE, "cat", "/etc/os-release")
