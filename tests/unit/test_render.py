"""Reading plain manifests, and what a kubectl says; the real one is in tests/cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import HostError, ManifestError
from harness.images.render import render
from harness.manifest.objects import Ref

pytestmark = pytest.mark.asyncio

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path = path.with_name(f"{path.name}.yaml") if "." not in path.name else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def stand_in(root: Path, script: str) -> Path:
    path = root / "kubectl"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


async def test_a_folder_is_read_with_its_subfolders_and_each_object_has_its_file(
    tmp_path: Path,
) -> None:
    write(tmp_path, b=CONFIG % "b", a=CONFIG % "a1" + "---\n" + CONFIG % "a2", deep__c=CONFIG % "c")
    (tmp_path / "README.md").write_text("not a manifest: [")
    found = await render([tmp_path])
    assert [obj["metadata"]["name"] for obj in found.objects] == ["a1", "a2", "b", "c"]
    assert found.sources[Ref("ConfigMap", "c")] == str(tmp_path / "deep" / "c.yaml")


async def test_one_file_with_many_documents_as_helm_renders_it(tmp_path: Path) -> None:
    hook = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: t\n  annotations: {helm.sh/hook: %s}\n"
    text = f"# Source: x\n{CONFIG % 'a'}---\n{hook % 'test'}---\n{hook % 'pre-install,test'}"
    found = await render([write(tmp_path, rendered=text) / "rendered.yaml"])
    assert [obj["kind"] for obj in found.objects] == ["ConfigMap", "Pod"]
    assert found.notes == ("Pod/t left out: it is the Helm hook test",)


async def test_what_is_no_manifest_folder(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no manifest"):
        await render([tmp_path])
    with pytest.raises(ManifestError, match="is not there"):
        await render([tmp_path / "nowhere"])
    (tmp_path / "Chart.yaml").write_text("name: x")
    with pytest.raises(ManifestError) as raised:
        await render([tmp_path])
    assert "helm template" in raised.value.remedy


async def test_overlays_without_a_kustomization_above_must_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, overlays__prod__kustomization="resources: []", overlays__dev__x=CONFIG % "x")
    with pytest.raises(ManifestError) as raised:
        await render([tmp_path])
    assert raised.value.remedy.endswith('overlays/prod"')


async def test_broken_yaml_names_its_file(tmp_path: Path) -> None:
    write(tmp_path, bad="a: [")
    with pytest.raises(ManifestError, match=r"bad\.yaml is no valid YAML: line 1"):
        await render([tmp_path])


async def test_a_kustomization_needs_kubectl(tmp_path: Path) -> None:
    write(tmp_path, kustomization="resources: []")
    with pytest.raises(HostError, match="needs kubectl"):
        await render([tmp_path])
    with pytest.raises(HostError, match="left with code 127: not found"):
        await render([tmp_path], kubectl=tmp_path / "kubectl")


@pytest.mark.parametrize(
    ("said", "message", "remedy"),
    [
        (
            r'E1122 1 run.go:72] "command failed" err="components: no matches for Id X"',
            "components: no matches for Id X",
            "patch of the variant",
        ),
        ("error: expected kind 'Component' for x", "expected kind 'Component' for x", "Component"),
        ("error: may not add resource", "may not add resource", "remove one"),
        ("error: something new", "something new", "kubectl kustomize"),
    ],
)
async def test_complaints_of_kustomize(
    tmp_path: Path, said: str, message: str, remedy: str
) -> None:
    write(tmp_path, base__kustomization="resources: []", complaint=said)
    kubectl = stand_in(tmp_path, f"cat {tmp_path}/complaint.yaml >&2; exit 1")
    with pytest.raises(ManifestError) as raised:
        await render([tmp_path / "base"], kubectl=kubectl)
    assert raised.value.message.startswith(f"kustomize cannot build {tmp_path}/base: {message}")
    assert remedy in raised.value.remedy


async def test_the_generated_kustomization_and_the_origins(tmp_path: Path) -> None:
    write(tmp_path, base__kustomization="resources: []", variant__kustomization="kind: Component")
    origin = (
        "metadata:\n  name: a\n  annotations:\n    config.kubernetes.io/origin: |\n      path: "
    )
    relative = "$(sed -n 's/^  - //p' $2/kustomization.yaml | head -1)"
    kubectl = stand_in(
        tmp_path,
        f'[ "$1 $3 $4" = "kustomize --load-restrictor LoadRestrictionsNone" ] || exit 9\n'
        f"cp $2/kustomization.yaml {tmp_path}/seen\n"
        f'printf "apiVersion: v1\\nkind: ConfigMap\\n{origin}%s/a.yaml\\n" "{relative}"',
    )
    found = await render([tmp_path / "base"], variant=tmp_path / "variant", kubectl=kubectl)
    seen = (tmp_path / "seen").read_text()
    assert "/base\n" in seen
    assert "/variant\n" in seen
    assert "originAnnotations" in seen
    assert found.objects == [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]
    assert found.sources == {Ref("ConfigMap", "a"): str(tmp_path / "base" / "a.yaml")}
