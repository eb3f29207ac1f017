"""`harness status`: which clusters there are and how they are."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.table import Table

from harness.cluster.condition import Condition, observe_all
from harness.commands.running import out, until_done
from harness.host.engine import find_engine

_STYLES = {"running": "green", "creating": "yellow", "foreign": "dim"}


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every cluster: running, creating, stopped, broken or foreign, and why.

    Starts and changes nothing. `foreign` are kind clusters that the harness did not make and will
    not touch.
    """
    found = until_done(_observe())
    if as_json:
        typer.echo(json.dumps([_plain(condition) for condition in found], indent=2))
        return
    if not found:
        out.print("there is no cluster; `harness up` makes one")
        return
    out.print(_table(found))


async def _observe() -> list[Condition]:
    return await observe_all(await asyncio.to_thread(find_engine))


def _plain(condition: Condition) -> dict[str, Any]:
    record = condition.record
    return {
        "name": condition.name,
        "state": condition.state,
        "reason": condition.reason,
        "shape": record.shape if record else None,
        "kubeconfig": str(record.kubeconfig) if record else None,
        "uid": record.uid if record else None,
        "versions": record.versions.model_dump() if record and record.versions else None,
        "created": record.created.isoformat() if record else None,
        "used_by": [vars(holder) for holder in condition.holders],
    }


def _table(found: list[Condition]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("cluster", "state", "shape", "Kubernetes", "made", "used by / why"):
        table.add_column(column)
    for condition in found:
        record = condition.record
        table.add_row(
            condition.name,
            f"[{_STYLES.get(condition.state, 'red')}]{condition.state}[/]",
            record.shape if record else "",
            record.versions.kubernetes if record and record.versions else "",
            record.created.astimezone().strftime("%Y-%m-%d %H:%M") if record else "",
            condition.reason or "; ".join(map(str, condition.holders)),
        )
    return table
