"""`harness doctor`: what this machine offers, as a table or as JSON."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness import faults  # noqa: F401 - importing registers every fault
from harness.cluster.blueprint import free_ports
from harness.cluster.condition import observe_all
from harness.cluster.shapes import ENTRY_PORTS
from harness.commands import host_checks as judge
from harness.commands.host_checks import FaultRow, HostCheck, Surroundings
from harness.commands.running import out, until_done
from harness.declare import registered
from harness.faults.base import Fault
from harness.host.commands import output
from harness.host.engine import find_engine
from harness.images.host_facts import HostFacts, host_facts

_MARKS = {
    "ok": "[green]ok[/]",
    "warn": "[yellow]warn[/]",
    "fail": "[red]FAIL[/]",
    "supported": "[green]supported[/]",
    "degraded": "[yellow]degraded[/]",
    "unsupported": "[red]unsupported[/]",
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at this machine: what is needed, what is there, what to do about the rest.

    Container engine, cgroup version, node image, memory, disk, ports, kernel features (each asked
    by doing it in a throwaway network namespace), and for each fault whether this host supports
    it. Installs and changes nothing. Exit code 0 if everything needed is there, 3 otherwise.
    """
    host, around = until_done(_collect())
    rows = judge.findings(host, around)
    known = {name: kind for name, kind in registered("fault").items() if issubclass(kind, Fault)}
    fault_rows = judge.fault_rows(host, known)
    if as_json:
        plain = {
            "findings": [asdict(row) for row in rows],
            "faults": [asdict(row) for row in fault_rows],
            "ok": judge.all_needed_is_there(rows),
        }
        typer.echo(json.dumps(plain, indent=2))
    else:
        out.print(_findings(rows))
        if fault_rows:
            out.print()
            out.print(_faults(fault_rows))
    if not judge.all_needed_is_there(rows):
        raise typer.Exit(3)


async def _collect() -> tuple[HostFacts, Surroundings]:
    host, engine = await asyncio.gather(host_facts(), asyncio.to_thread(find_engine))
    wanted = 1 + ENTRY_PORTS
    conditions = await observe_all(engine)
    around = Surroundings(
        free_ports=len(free_ports(wanted)),
        ports_wanted=wanted,
        python=sys.version_info[:3],
        go=await asyncio.to_thread(output, ["go", "version"]) if shutil.which("go") else "",
        clusters={each.name: each.state for each in conditions},
    )
    return host, around


def _findings(rows: list[HostCheck]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    table.add_column("what", no_wrap=True)
    table.add_column("found", overflow="fold")
    for row in rows:
        found = Text(row.found)
        if row.level != "ok" and row.remedy:
            found.append(f"\n→ {row.remedy}", style="dim")
        table.add_row(_MARKS[row.level], row.subject, found)
    return table


def _faults(rows: list[FaultRow]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "fault", "why"):
        table.add_column(column)
    for row in rows:
        table.add_row(_MARKS[row.state], row.fault, row.why)
    return table
