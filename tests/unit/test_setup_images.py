"""Names and keys of images: what is rebuilt, what is pushed, what a user did wrong."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.images import registry
from harness.images.publish import ImageRef, _key, base_names, repository
from harness.images.registry import Registry, containerd_patches, node_files


def test_a_reference_is_a_digest_in_our_registry() -> None:
    reference = ImageRef(name="shop/checkout", digest="sha256:abc")
    assert str(reference) == "registry.harness/shop/checkout@sha256:abc"


@pytest.mark.parametrize(
    ("local", "path"),
    [
        ("shop/checkout:1.4", "shop/checkout"),
        ("checkout", "checkout"),
        ("resilience-harness/checkout-api:0a1b", "checkout-api"),
        ("localhost:5000/Team/App:1", "localhost-5000/team/app"),
        ("a/b@sha256:abc", "a/b"),
    ],
)
def test_paths_in_the_registry(local: str, path: str) -> None:
    assert repository(local) == path


def test_bases_without_own_stages() -> None:
    text = (
        "ARG DEBIAN=debian:bookworm-slim\n"
        "FROM --platform=linux/amd64 ${DEBIAN} AS build\n"
        "RUN a \\\n  b\n"
        "FROM scratch\nFROM build AS next\nFROM other:1\n"
    )
    assert base_names(text, {}) == ["debian:bookworm-slim", "other:1"]
    assert base_names(text, {"DEBIAN": "mine:2"}) == ["mine:2", "other:1"]


def test_what_changes_an_image_changes_its_key(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\n")
    source = tmp_path / "app.py"
    source.write_text("1")
    before = _key(tmp_path, dockerfile, {}, ["sha256:base"])
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "app.pyc").write_text("x")
    assert _key(tmp_path, dockerfile, {}, ["sha256:base"]) == before
    assert _key(tmp_path, dockerfile, {}, ["sha256:newer"]) != before
    assert _key(tmp_path, dockerfile, {"BUILD": "2"}, ["sha256:base"]) != before
    source.chmod(0o755)
    assert _key(tmp_path, dockerfile, {}, ["sha256:base"]) != before


MANIFEST = b'{"config": {"digest": "sha256:content"}}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code = {"known": 200, "gone": 404}.get(self.path.split("/")[2], 500)
        self.send_response(code)
        self.end_headers()
        if code == 200:
            self.wfile.write(MANIFEST)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def served() -> Iterator[Registry]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield at(server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


def at(port: int) -> Registry:
    return Registry(push_host="127.0.0.1:1", pull_host=f"127.0.0.1:{port}")


@pytest.mark.parametrize("image", ["sha256:content", DIGEST])
def test_what_is_behind_a_tag_is_known_by_its_content(served: Registry, image: str) -> None:
    assert served.digest_of("known", "1", image) == DIGEST
    assert served.digest_of("known", "1", "sha256:another") is None
    assert served.digest_of("gone", "1", image) is None
    with pytest.raises(HostError, match="answers 500"):
        served.digest_of("sick", "1", image)


def test_a_silent_registry_is_the_hosts_fault() -> None:
    with pytest.raises(HostError, match="does not answer"):
        at(1).digest_of("known", "1", DIGEST)


def test_nodes_find_the_registry_by_its_container() -> None:
    ((path, text),) = node_files().items()
    assert path == f"/etc/containerd/certs.d/{registry.REGISTRY}/hosts.toml"
    assert registry.PULL_CONTAINER in text
    assert "certs.d" in containerd_patches()[0]
