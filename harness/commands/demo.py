"""`harness demo`: the shortest way to see what this is about."""

from __future__ import annotations

import typer

from harness.commands.run import VERBOSE, execute
from harness.runs.options import Options

DEMO = (
    "liveness-checks-database",
    "liveness-hits-main-endpoint",
    "oom-heap-preallocation",
    "rwo-multi-attach",
)
VARIANTS = ("fragile", "hardened")


def demo(verbose: VERBOSE = False) -> None:
    """Break two real applications on a real cluster, each once fragile and once hardened.

    A slow database, a liveness probe on the wrong path, a heap that outgrew its limit, a volume
    that is stuck on its node. Sets everything up first; the first time on a machine without an
    image registry that takes a while, afterwards seconds.
    """
    options = Options(scenarios=DEMO, variants=VARIANTS, command=["harness", "demo"])
    raise typer.Exit(execute(options, verbose=verbose))
