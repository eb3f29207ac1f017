"""`harness demo`: the shortest way to see what this is about."""

from __future__ import annotations

import typer

from harness.commands.run import execute
from harness.run import Options

DEMO = ("liveness-checks-database",)


def demo() -> None:
    """Break a real application on a real cluster, twice: once fragile, once hardened.

    Sets everything up first; the first time on a machine without an image registry that takes a
    while, afterwards seconds.
    """
    raise typer.Exit(execute(Options(scenarios=DEMO, command=["harness", "demo"])))
