"""What every command needs: coroutines that end well on signals, and consoles.

Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from rich.console import Console

from harness.host import signals

T = TypeVar("T")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def until_done(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; raises `Interrupted` after a signal and the undoing, and whatever
    the coroutine raises."""
    return signals.until_done(work, lambda text: err.print(f"\n{text}"))
