"""`harness heal`: undo what killed processes left."""

from __future__ import annotations

import typer

from harness.commands.running import out, until_done
from harness.undo.healing import heal_dead
from harness.undo.reach import open_world


def heal() -> None:
    """Undo whatever harness processes that died have left, from their ledgers.

    Every start does this by itself; call it to have it done now. Processes that are alive are left
    alone. Exits 3 if something could not be undone; it is tried again at the next start.
    """
    report = until_done(heal_dead(open_world))
    for line in report.lines():
        out.print(line, markup=False)
    if report.nothing_found:
        out.print("nothing to heal")
    raise typer.Exit(0 if report.clean else 3)
