"""`harness list`: the scenarios, and which of them apply."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from harness.commands.run import SUBJECT_HELP
from harness.commands.running import out, until_done
from harness.images.reading import as_given
from harness.manifest.subject_file import SubjectFile
from harness.manifest.subject_reading import load_subject
from harness.runs import catalog
from harness.runs.fitting import NotApplicable, doubts, fit, required_roles


def list(
    subject: Annotated[Path | None, typer.Option(metavar="DIR", help=SUBJECT_HELP)] = None,
) -> None:
    """Show the scenarios: what each is about, its variants, and the roles it needs.

    With --subject: which of them apply to your application, and why the others do not.
    """
    out.print(_all() if subject is None else _fitting(load_subject(subject)))


def _all() -> Table:
    table = _table("scenario", "what it proves", "variants", "roles")
    for found in catalog.discover():
        table.add_row(
            found.slug,
            found.scenario.title,
            ", ".join(found.scenario.variants),
            ", ".join(required_roles(found.scenario)),
        )
    return table


def _fitting(subject: SubjectFile) -> Table:
    """Decided as a run decides it, see `harness.runs.fitting`."""
    objects = until_done(as_given(subject))
    table = _table("scenario", "applies")
    for found in catalog.discover():
        fitted = fit(found, subject, objects)
        if isinstance(fitted, NotApplicable):
            table.add_row(found.slug, f"no: {fitted.why}")
        else:
            yes = f"yes: {', '.join(fitted.scenario.variants)}"
            table.add_row(
                found.slug, "; but ".join([yes, *doubts(found.scenario, subject, objects)])
            )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=index == 0)
    return table
