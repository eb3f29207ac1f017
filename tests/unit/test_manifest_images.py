from __future__ import annotations

import copy

import pytest

from harness.errors import ManifestError
from harness.manifest.images import ImageName, images, rewrite
from harness.manifest.yaml import load_all

DIGEST = "sha256:" + "ab" * 32
OBJECTS = load_all(
    """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    spec:
      initContainers: [{name: migrate, image: shop/api:1.4}]
      containers: [{name: api, image: shop/api:1.4}, {name: web, image: nginx}]
      volumes: [{name: data, image: {reference: "registry:5000/data:2"}}, {name: tmp, emptyDir: {}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  jobTemplate:
    spec: {template: {spec: {containers: [{name: c, image: docker.io/nginx:latest}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: api}
"""
)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("shop/api", "docker.io/shop/api:latest"),
        ("localhost/api:1", "localhost/api:1"),
        ("registry:5000/a/b:1", "registry:5000/a/b:1"),
        ("ghcr.io/a/b_c.d-e:v1.2.3-x", "ghcr.io/a/b_c.d-e:v1.2.3-x"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"myacr.azurecr.io/app:v1@{DIGEST}", f"myacr.azurecr.io/app:v1@{DIGEST}"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
    ],
)
def test_names_are_completed_and_stable(text: str, full: str) -> None:
    assert str(ImageName.parse(text)) == full
    assert str(ImageName.parse(full)) == full


@pytest.mark.parametrize("bad", ["", "Nginx", "a b", "nginx:", "nginx@sha256:12", "/x", "a//b"])
def test_what_is_no_reference_is_refused(bad: str) -> None:
    with pytest.raises(ManifestError) as raised:
        ImageName.parse(bad)
    assert "lower case" in raised.value.remedy


def test_images_and_where_they_run() -> None:
    assert images(OBJECTS) == {
        "shop/api:1.4": ("Deployment/api[migrate]", "Deployment/api[api]"),
        "nginx": ("Deployment/api[web]",),
        "registry:5000/data:2": ("Deployment/api volume data",),
        "docker.io/nginx:latest": ("CronJob/nightly[c]",),
    }


def test_rewrite_finds_an_image_however_it_is_written() -> None:
    before = copy.deepcopy(OBJECTS)
    new = f"harness:5000/nginx@{DIGEST}"
    changed = rewrite(OBJECTS, {"nginx:latest": new, "registry:5000/data:2": "harness:5000/data"})
    assert before == OBJECTS, "the input was changed"
    assert set(images(changed)) == {"shop/api:1.4", new, "harness:5000/data"}
