"""What `make trust` kills, and what comes after it: healing, or the next start of the same.

`python tests/trust/victims.py CLUSTER` installs the storage add-on anew, as one of them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.addons import addons
from harness.cluster import clusters
from harness.host.engine import ensure_engine
from harness.runs.catalog import discover

HARNESS = (sys.executable, "-m", "harness.cli")


@dataclass(frozen=True)
class Victim:
    """A process that is killed within its first `longest` seconds.

    `after` is what a user would do next, and must succeed; `undo` takes away what the victim makes
    by its purpose.
    """

    name: str
    words: Sequence[str]
    longest: float
    after: Sequence[str] = (*HARNESS, "heal")
    undo: Sequence[str] = ()


def victims(cluster: str, folder: Path) -> list[Victim]:
    """Every scenario's trials, the start of a cluster, an add-on; runs go into `folder`."""
    found = [
        Victim(
            slug,
            (*HARNESS, "run", slug, "-c", cluster, "-o", str(folder / slug)),
            longest=100.0,
        )
        for slug in sorted(found.scenario.slug for found in discover())
    ]
    other = f"{cluster}-up"
    up = (*HARNESS, "up", "-c", other)
    found.append(Victim("up", up, 60.0, after=up, undo=(*HARNESS, "down", "-c", other)))
    addon = (sys.executable, __file__, cluster)
    found.append(Victim("add-on csi", addon, 40.0, after=addon))
    return found


async def _addon_anew(name: str) -> None:
    record = clusters.load_record(name)
    assert record is not None, f"no cluster {name}"
    cluster = record.cluster(await asyncio.to_thread(ensure_engine))
    await addons.uninstall("csi", cluster)
    await addons.install("csi", cluster)


if __name__ == "__main__":
    asyncio.run(_addon_anew(sys.argv[1]))
