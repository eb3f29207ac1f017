"""The `harness` command: which subcommands there are, and how a command ends.

Each subcommand is a function in a module of its own below `harness.commands`; its docstring is its
help. Only the module of the command that was asked for is imported: some take a second.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable
from importlib import metadata
from typing import Annotated

import typer

from harness.commands.running import err, out
from harness.errors import HarnessError
from harness.host.signals import Interrupted

# In the order in which `harness --help` shows them; `harness.commands.<name>.<name>` is called.
COMMANDS = (
    "setup",
    "demo",
    "run",
    "init",
    "list",
    "judge",
    "report",
    "heal",
    "up",
    "status",
    "doctor",
    "down",
)

_HELP = """
Decides whether a Kubernetes configuration may ship: starts a real kind cluster, deploys it, puts
load on, breaks one thing, heals it, and says with evidence whether it survives.
"""
_EPILOG = """
Exit codes: 0 as expected or survived, 1 wrong or failed, 2 wrong usage, 3 inconclusive, residue or
something about this machine. All state is below $HARNESS_HOME (~/.cache/resilience-harness).
"""


def build(names: Iterable[str]) -> typer.Typer:
    """The application with these subcommands."""
    app = typer.Typer(
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in names:
        module = importlib.import_module(f"harness.commands.{name}")
        app.command(name)(getattr(module, name))
    return app


def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    if version:
        out.print(f"resilience-harness {metadata.version('resilience-harness')}")
        raise typer.Exit


def main() -> None:
    """Entry point. Leaves with the exit code that `_EPILOG` explains, 130 after Ctrl-C."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        build([asked] if asked in COMMANDS else COMMANDS)()
    except HarnessError as error:
        err.print(f"[red]error:[/] {_plain(error.message)}")
        err.print(f"[bold]remedy:[/] {_plain(error.remedy)}")
        sys.exit(error.exit_code)
    except Interrupted as interrupted:
        sys.exit(interrupted.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # noqa: BLE001 - the last resort: a defect of ours is nobody's verdict
        traceback.print_exc()
        err.print("[red]error:[/] a defect of the harness; please report it with the lines above")
        sys.exit(3)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


if __name__ == "__main__":
    main()
