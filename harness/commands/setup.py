"""`harness setup`: everything that clusters are made from, without making one."""

from __future__ import annotations

import asyncio

from harness.commands.running import out, until_done
from harness.images.setup import set_up


def setup() -> None:
    """Make everything ready that clusters are made from.

    The container engine (the one that runs, else a private one), kind, the node image, the local
    registry and the sample images; each step says what it does and how long it took. A second
    time it finds everything in its caches. `harness up` does by itself what it needs of this.
    """
    ready = until_done(asyncio.to_thread(set_up))
    out.print(f"ready: node image {ready.node_image}, {len(ready.images)} sample image(s)")
