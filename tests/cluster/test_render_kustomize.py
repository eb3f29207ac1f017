"""Variants through the real kustomize, that of the node image's kubectl; without a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ManifestError
from harness.host import go_programs
from harness.host.engine import ensure_engine
from harness.images.node_image import node_image
from harness.images.render import render
from harness.manifest.diff import diff
from harness.manifest.objects import Ref

pytestmark = pytest.mark.asyncio

API = """apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  template:
    spec:
      containers:
        - name: api
          image: shop/api:1
          args: ["22:30", "2024-01-01", "0644", "yes"]
          livenessProbe: {httpGet: {path: /healthz, port: 80}}
"""
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"
COMPONENT = """apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
  - target: {kind: Deployment, name: %s}
    patch: |
      - op: replace
        path: /spec/template/spec/containers/0/livenessProbe/httpGet/path
        value: /live
"""


@pytest.fixture(scope="module")
def kubectl() -> Path:
    engine = ensure_engine()
    return go_programs.kubectl(engine, node_image(engine))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    folder = tmp_path / "deploy"
    folder.mkdir()
    (folder / "api.yaml").write_text(API)
    (folder / "settings.yaml").write_text(SETTINGS)
    return folder


def variant(root: Path, text: str) -> Path:
    folder = root / "elsewhere" / "variant"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kustomization.yaml").write_text(text)
    return folder


async def test_a_variant_over_plain_files(plain: Path, tmp_path: Path, kubectl: Path) -> None:
    given = await render([plain])
    changed = await render([plain], variant=variant(tmp_path, COMPONENT % "api"), kubectl=kubectl)
    (change,) = diff(given.objects, changed.objects)
    assert str(change) == (
        "Deployment/api .spec.template.spec.containers[api].livenessProbe.httpGet.path: "
        '"/healthz" -> "/live"'
    )
    assert changed.sources[Ref("Deployment", "api", "shop")] == str(plain / "api.yaml")


async def test_a_variant_over_a_kustomization(plain: Path, tmp_path: Path, kubectl: Path) -> None:
    (plain / "kustomization.yaml").write_text(
        "resources: [api.yaml]\nconfigMapGenerator: [{name: made, literals: [a=b]}]\n"
    )
    given = await render([plain], kubectl=kubectl)
    assert sorted(obj["kind"] for obj in given.objects) == ["ConfigMap", "Deployment"]
    assert not any("annotations" in obj["metadata"] for obj in given.objects)
    changed = await render([plain], variant=variant(tmp_path, COMPONENT % "api"), kubectl=kubectl)
    assert len(diff(given.objects, changed.objects)) == 1


async def test_through_a_symlink(plain: Path, tmp_path: Path, kubectl: Path) -> None:
    (tmp_path / "link").symlink_to(plain)
    component = variant(tmp_path, COMPONENT % "api")
    found = await render([tmp_path / "link"], variant=component, kubectl=kubectl)
    assert len(found.objects) == 2


async def test_errors_say_what_to_do(plain: Path, tmp_path: Path, kubectl: Path) -> None:
    async def refused(text: str) -> ManifestError:
        with pytest.raises(ManifestError) as raised:
            await render([plain], variant=variant(tmp_path, text), kubectl=kubectl)
        return raised.value

    no_component = await refused("resources: []\n")
    assert "expected kind 'Component'" in no_component.message
    assert "kind: Component" in no_component.remedy
    merge = COMPONENT.partition("patches")[0] + (
        "patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: apii}}'}]\n"
    )
    assert "do not have" in (await refused(merge)).remedy
    assert "apii" in (await refused(merge)).message
    (plain / "again.yaml").write_text(SETTINGS)
    twice = await refused(COMPONENT % "api")
    assert "two files" in twice.remedy
    (plain / "again.yaml").write_text("a: [")
    assert "again.yaml" in (await refused(COMPONENT % "api")).message
