"""Images on the nodes before anything runs there: to pull them is our business, not the subject's.

A pull inside a start or a rollout would count against whoever waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from harness.nodes.nodes import NodeCommands

PULL_S = 300.0
"""For all images of a trial on one node, from the registry beside it."""

_PULL = r"""
have=$(ctr --namespace k8s.io images list --quiet)
for image in "$@"; do
  printf '%s\n' "$have" | grep -qxF "$image" && continue
  ctr --namespace k8s.io images pull --hosts-dir /etc/containerd/certs.d "$image" > /dev/null ||
    exit 1
done
"""


async def pull(nodes: NodeCommands, on: Sequence[str], images: Iterable[str]) -> None:
    """Every image is on every node afterwards; half a second if they were.

    Raises CommandError with the node's own words.
    """
    wanted = sorted(set(images))

    async def one(node: str) -> None:
        words = ["bash", "-c", _PULL, "bash", *wanted]
        done = await nodes.run(node, words, timeout=PULL_S)
        done.require(remedy=f"see whether {node} reaches the registry, and has room on its disk")

    await asyncio.gather(*map(one, on))
