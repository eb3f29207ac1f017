"""`harness init`: where it looks for manifests, what it writes, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import build
from harness.commands.init import find_builds, find_manifests
from harness.errors import HarnessError, ManifestError
from harness.manifest.subject_reading import load_subject

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
APP = """apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {containers: [{name: app, image: "shop/app:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{port: 8080}]}
"""


def files(root: Path, *names: str, text: str = CONFIG) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["kustomization.yaml", "deploy/a.yaml"], ["."]),
        (["deploy/a.yaml", "src/b.yaml"], ["deploy"]),
        (["k8s/base/kustomization.yaml", "k8s/overlays/dev/kustomization.yaml",
          "k8s/overlays/prod/kustomization.yaml"], ["k8s/overlays/prod"]),
        (["deploy/base/kustomization.yaml", "deploy/canary/kustomization.yaml"], ["deploy/base"]),
        (["app.yaml", "db.yml"], ["app.yaml", "db.yml"]),
    ],
)  # fmt: skip
def test_where_manifests_are_found(tmp_path: Path, names: list[str], expected: list[str]) -> None:
    assert find_manifests(files(tmp_path, *names)) == expected


def test_other_yaml_files_are_no_manifests(tmp_path: Path) -> None:
    files(tmp_path, "docker-compose.yaml", text="services: {}\n")
    files(tmp_path, "app.yaml")
    assert find_manifests(tmp_path) == ["app.yaml"]


def test_nothing_found_and_charts_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as raised:
        find_manifests(tmp_path)
    assert "--manifests" in raised.value.remedy
    files(tmp_path, "chart/Chart.yaml", text="name: x\n")
    with pytest.raises(ManifestError) as raised:
        find_manifests(tmp_path)
    assert "helm template" in raised.value.remedy


def test_a_dockerfile_whose_folder_fits_the_image(tmp_path: Path) -> None:
    files(tmp_path, "app/Dockerfile", "services/api/Dockerfile", text="FROM scratch\n")
    found = dict(find_builds(tmp_path, ["shop/app:1", "registry:5000/shop/api:2", "postgres:17"]))
    assert found == {"shop/app:1": "app", "registry:5000/shop/api:2": "services/api"}


def test_it_writes_a_file_that_loads(tmp_path: Path) -> None:
    root = files(tmp_path / "My Shop", "deploy/app.yaml", text=APP)
    result = CliRunner().invoke(build(["init", "list"]), ["init", str(root)])
    assert result.exit_code == 0, result.output
    subject = load_subject(root)
    assert subject.subject.name == "my-shop"
    assert str(subject.roles["entry"].ref) == "Service/app:8080"


def test_it_does_not_overwrite(tmp_path: Path) -> None:
    root = files(tmp_path, "deploy/app.yaml", text=APP)
    (root / "harness.toml").write_text("mine")
    app = build(["init", "list"])
    result = CliRunner().invoke(app, ["init", str(root)])
    assert isinstance(result.exception, HarnessError)
    assert "--force" in result.exception.remedy
    assert (root / "harness.toml").read_text() == "mine"
    printed = CliRunner().invoke(app, ["init", str(root), "--print"])
    assert 'entry = "Service/app:8080"' in printed.output
    assert (root / "harness.toml").read_text() == "mine"
    assert CliRunner().invoke(app, ["init", str(root), "--force"]).exit_code == 0
    assert load_subject(root).roles


def test_what_is_still_to_correct_is_said(tmp_path: Path) -> None:
    root = files(tmp_path, "deploy/a.yaml")
    result = CliRunner().invoke(build(["init", "list"]), ["init", str(root)])
    assert result.exit_code == 0
    assert "no entry is bound" in result.output
