"""Memory that is really there: anonymous pages, each written once, so that a cgroup counts them."""

from __future__ import annotations

import mmap

MB = 1_000_000


def touched(megabytes: float) -> mmap.mmap:
    """A private mapping of that size with every page resident; `close` gives it back at once."""
    size = max(mmap.PAGESIZE, int(megabytes * MB))
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, size, mmap.PAGESIZE):
        pages[offset] = 1
    return pages


class Ballast:
    """Named blocks of touched memory, freed by name."""

    def __init__(self) -> None:
        self._blocks: dict[str, list[tuple[mmap.mmap, float]]] = {}

    def add(self, name: str, megabytes: float) -> None:
        """Touch and keep `megabytes` more under `name`; blocks while it does."""
        if megabytes > 0:
            self._blocks.setdefault(name, []).append((touched(megabytes), megabytes))

    def free(self, name: str) -> None:
        """Return everything under `name` to the system; nothing happens if there is none."""
        for pages, _ in self._blocks.pop(name, []):
            pages.close()

    def held(self) -> dict[str, float]:
        """Megabytes by name."""
        return {name: sum(mb for _, mb in blocks) for name, blocks in self._blocks.items()}
