"""Tags of images that we build: each image carries its own, so that another under it is known."""

from __future__ import annotations

from harness.host.engine import Engine
from harness.labels import DOMAIN

_LABEL = f"{DOMAIN}/image"


def words(tag: str) -> list[str]:
    """What gives a `docker build` its tag."""
    return [f"--tag={tag}", f"--label={_LABEL}={tag}"]


def built(engine: Engine, tag: str) -> bool:
    """Whether what stands behind the tag is the image that was built for it."""
    template = f'{{{{index .Config.Labels "{_LABEL}"}}}}'
    return engine.docker("image", "inspect", "--format", template, tag, check=False) == tag
