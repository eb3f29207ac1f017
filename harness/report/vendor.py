"""Refreshes uPlot under `assets/` from npm: `python -m harness.report.vendor [VERSION]`.

The HTML report must open offline and an installed harness has no npm, so the two built files and
the licence are committed. Nothing at run time imports this.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

from harness.host.commands import output

VERSION = "1.6.32"
ASSETS = Path(__file__).parent / "assets"
FILES = {
    "package/dist/uPlot.iife.min.js": "uPlot.iife.min.js",
    "package/dist/uPlot.min.css": "uPlot.min.css",
    "package/LICENSE": "uPlot.LICENSE",
}


def refresh(version: str = VERSION) -> list[Path]:
    """Fetch a version with `npm pack`, which checks its integrity, and unpack it."""
    written = []
    with tempfile.TemporaryDirectory() as scratch:
        output(["npm", "pack", "--silent", f"uplot@{version}"], cwd=Path(scratch))
        with tarfile.open(Path(scratch) / f"uplot-{version}.tgz") as archive:
            for member, name in FILES.items():
                file = archive.extractfile(member)
                if file is None:
                    raise FileNotFoundError(member)
                (ASSETS / name).write_bytes(file.read())
                written.append(ASSETS / name)
    return written


if __name__ == "__main__":
    for path in refresh(*sys.argv[1:2]):
        sys.stdout.write(f"{path}\n")
