"""`harness list`: the scenarios, and which of them apply."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from harness import catalog
from harness.commands.run import SUBJECT_HELP
from harness.commands.running import out
from harness.manifest.subject_file import load_subject


def list(
    subject: Annotated[Path | None, typer.Option(metavar="DIR", help=SUBJECT_HELP)] = None,
) -> None:
    """Show the scenarios: what each is about, its variants, and the roles it needs.

    With --subject: which of them apply to your application, and why the others do not.
    """
    own = load_subject(subject) if subject is not None else None
    table = Table(box=None, pad_edge=False)
    for heading in ("scenario", "what it proves", "applies" if own else "variants", "roles"):
        table.add_column(heading, overflow="fold")
    for found in catalog.discover():
        why = catalog.applicable(found, own) if own is not None else None
        third = ("yes" if why is None else f"no: {why.why}") if own else None
        table.add_row(
            found.slug,
            found.scenario.title,
            third or ", ".join(found.scenario.variants),
            ", ".join(catalog.required_roles(found.scenario)),
        )
    out.print(table)
