"""What a trial left on a cluster and could not remove, noted until the cluster is made anew.

It would be the next trial's baseline. The note is on the disk: it holds for other processes, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_FILE = "residue"


def note(folder: Path, what: Sequence[str]) -> None:
    """Write down what was left; `folder` is `Cluster.folder`.

    To be done under the trial's lease, so that whoever has the next one knows.
    """
    with (folder / _FILE).open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in what)


def left_on(folder: Path) -> str:
    """What was left there, in one line; empty if the cluster is as it was made."""
    file = folder / _FILE
    return "; ".join(file.read_text(encoding="utf-8").splitlines()) if file.exists() else ""


def gone(folder: Path) -> None:
    """The cluster was deleted, and everything with it."""
    (folder / _FILE).unlink(missing_ok=True)
