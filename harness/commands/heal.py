"""`harness heal`: undo what killed processes left."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.commands.running import err, out, until_done
from harness.undo.healing import give_up, heal_dead
from harness.undo.reach import open_world


def heal(
    forget: Annotated[
        str | None,
        typer.Option(
            metavar="CLUSTER",
            help="Give up what lies on this cluster: nothing is undone, and nothing will be.",
        ),
    ] = None,
) -> None:
    """Undo whatever harness processes that died have left, from their ledgers.

    Every start does this by itself; call it to have it done now. Processes that are alive are left
    alone. Exits 3 if something could not be undone; it is tried again at the next start.

    \b
    Examples:
      harness heal                    undo all that can be undone
      harness heal --forget staging   a cluster that is gone for good
    """
    if forget is not None:
        given_up = until_done(give_up(forget))
        for record in given_up:
            err.print(f"given up, never undone: {record}", markup=False)
        if not given_up:
            out.print(f"no dead process left anything on cluster {forget}")
        raise typer.Exit(0)
    report = until_done(heal_dead(open_world))
    for line in report.lines():
        out.print(line, markup=False)
    if report.nothing_found:
        out.print("nothing to heal")
    raise typer.Exit(0 if report.clean else 3)
