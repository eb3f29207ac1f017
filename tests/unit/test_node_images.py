"""Images come to the nodes before anything runs there, by the script that is run in a node."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.host import processes
from harness.host.processes import Completed
from harness.nodes.images import pull

# `ctr` with a file for each image that is there; one that is called `missing` cannot be had.
CTR = """#!/bin/bash
case "$*" in
  *"images list"*) cat "$STORE/have" ;;
  *" pull "*)
    for last; do :; done
    [ "$last" = missing ] && { echo "missing: not found" >&2; exit 1; }
    echo "$last" >> "$STORE/pulled" ;;
esac
"""


class Here:
    """A node that is a folder of this machine, with a `ctr` of its own."""

    def __init__(self, folder: Path, *have: str) -> None:
        self.folder = folder
        self.ran_on: list[str] = []
        (folder / "have").write_text("".join(f"{image}\n" for image in have))
        (folder / "pulled").touch()
        program = folder / "ctr"
        program.write_text(CTR)
        program.chmod(0o755)

    async def run(
        self, node: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60
    ) -> Completed:
        """Really, on this machine."""
        self.ran_on.append(node)
        path = f"{self.folder}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "STORE": str(self.folder)}
        return await processes.run(argv, env=env)

    @property
    def pulled(self) -> list[str]:
        """What was asked of the registry."""
        return (self.folder / "pulled").read_text().split()


def test_only_what_is_not_there_is_pulled(tmp_path: Path) -> None:
    node = Here(tmp_path, "r/a@sha256:1", "r/b@sha256:22")
    wanted = ["r/a@sha256:1", "r/b@sha256:2", "r/c@sha256:3", "r/c@sha256:3"]
    asyncio.run(pull(node, ["n1"], wanted))
    assert node.pulled == ["r/b@sha256:2", "r/c@sha256:3"]


def test_every_node_is_asked(tmp_path: Path) -> None:
    node = Here(tmp_path, "a")
    asyncio.run(pull(node, ["n1", "n2"], ["a"]))
    assert sorted(node.ran_on) == ["n1", "n2"]
    assert node.pulled == []


def test_one_that_cannot_be_had_is_told_in_the_node_s_own_words(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="missing: not found"):
        asyncio.run(pull(Here(tmp_path), ["n1"], ["missing"]))
