"""The console while trials run: phase, seconds, what is waited for, and how the subject fares.

On a terminal every running trial has its own lines that change in place; elsewhere (CI, a pipe)
each change of phase is one plain line. The table at the end is in `summary`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.history.records import PHASES
from harness.host.progress import reporter
from harness.report.model import MARKS, Outcome, Verdict
from harness.report.summary import STYLES, print_summary
from harness.runs.fitting import NotApplicable

__all__ = ["LiveTrials", "print_summary"]

_NAME_WIDTH = 12
_BAR_WIDTH = 24


class Ended(Protocol):
    """What is shown of a result; `harness.judgement.verdict.Result` is one."""

    @property
    def verdict(self) -> Verdict: ...

    @property
    def outcome(self) -> Outcome: ...

    @property
    def deciding(self) -> str: ...


@dataclass
class _Shown:
    """What is known of one running trial."""

    trial: str
    title: str
    variant: str
    begun: float
    phase: str = ""
    phase_begun: float = 0.0
    done: float = 0.0
    total: float = 0.0
    waits_for: str = ""
    status: str = ""
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))


class LiveTrials:
    """Shows trials as they proceed; a context manager. Told by the run, never asks.

    Prints to the console that set-up uses (stderr), so that the two never draw over each other.
    `clock` gives seconds and is replaced in tests.
    """

    def __init__(
        self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console or reporter().console
        self._clock = clock
        self._trials: dict[str, _Shown] = {}
        self._titles: list[str] = []
        self._live: Live | None = None
        self._by_outcome = True

    def __enter__(self) -> LiveTrials:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def chosen(
        self, variants: Mapping[str, Sequence[str]], left_out: Sequence[NotApplicable]
    ) -> None:
        """Which scenarios will be run with an application, in which variants, and which not.

        From here on verdicts stand for themselves: nobody said what to expect of that application.
        """
        self._by_outcome = False
        self._print(Text("These scenarios apply:"))
        for slug, names in variants.items():
            self._print(Text(f"  {slug}: {', '.join(names)}"))
        if left_out:
            self._print(Text("These do not:"))
        for each in left_out:
            self._print(Text(f"  {each.slug}: {each.why}"))

    def begin(self, trial: str, title: str, variant: str) -> None:
        """A trial has begun; `trial` is its id, under which everything else is told."""
        now = self._clock()
        self._trials[trial] = _Shown(trial, title, variant, now, phase_begun=now)
        if title not in self._titles:
            self._titles.append(title)
            self._print(Text(title, style="bold"))
        if not self.console.is_terminal:
            self._line(self._trials[trial], f"begins (trial {trial})")
        elif self._live is None:
            self._live = Live(
                get_renderable=self._render,
                console=self.console,
                transient=True,
                refresh_per_second=6,
            )
            self._live.start()

    def phase(self, trial: str, name: str) -> None:
        """The trial has entered a phase."""
        shown, now = self._trials[trial], self._clock()
        if not self.console.is_terminal:
            before = f"after {now - shown.phase_begun:.1f} s of {shown.phase}"
            self._line(shown, f"{name:<12}{before if shown.phase else ''}".rstrip())
        shown.phase, shown.phase_begun = name, now
        shown.done = shown.total = 0.0
        shown.waits_for = ""

    def progress(self, trial: str, done: float, total: float, text: str) -> None:
        """How far the phase is: `done` of `total` (seconds, mostly), and what is waited for."""
        shown = self._trials[trial]
        shown.done, shown.total, shown.waits_for = done, total, text

    def status(self, trial: str, text: str) -> None:
        """How the subject fares at the moment: rate, success, ready replicas, restarts."""
        self._trials[trial].status = text

    def end(self, trial: str, result: Ended) -> None:
        """The trial is over; its verdict stays on the screen."""
        shown = self._trials.pop(trial)
        if not self._trials:
            self._stop()
        text = Text("  ")
        text.append(f"{MARKS[result.verdict]} {result.verdict}", style=STYLES[result.verdict])
        text.append(f"  {shown.variant}  {self._clock() - shown.begun:.0f} s")
        if self._by_outcome:
            text.append(f"  ({result.outcome})")
        text.append(f"\n    {result.deciding}", style="dim" if self.console.is_terminal else "")
        self._print(text)

    def _line(self, shown: _Shown, text: str) -> None:
        seconds = self._clock() - shown.begun
        self._print(Text(f"  {seconds:6.1f} s  {shown.variant:<{_NAME_WIDTH}} {text}"))

    def _print(self, text: Text) -> None:
        # A terminal that is gone or a log on a full disk must not end a trial half way.
        with contextlib.suppress(OSError):
            # Soft wrap where nobody reads in columns: a line in a CI log stays one line.
            self.console.print(text, soft_wrap=not self.console.is_terminal, highlight=False)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> RenderableType:
        now = self._clock()
        return Group(*(self._rows(shown, now) for shown in list(self._trials.values())))

    def _rows(self, shown: _Shown, now: float) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        for width in (1, _NAME_WIDTH, max(map(len, PHASES)), 6, _BAR_WIDTH):
            grid.add_column(width=width, no_wrap=True)
        grid.add_column(overflow="ellipsis", no_wrap=True)
        total = shown.total or None
        bar = ProgressBar(
            total=total,
            completed=min(shown.done, shown.total),
            width=_BAR_WIDTH,
            pulse=total is None,
            animation_time=now,
        )
        waits = f"{_amount(shown.done)}/{_amount(shown.total)} s {shown.waits_for}" if total else ""
        seconds = Text(f"{now - shown.phase_begun:.0f} s", justify="right", style="cyan")
        name = Text(shown.variant, style="bold", overflow="ellipsis")
        wide = self.console.width >= 130
        details = "   ".join(t for t in (waits, shown.status if wide else "") if t)
        grid.add_row(shown.spinner, name, shown.phase, seconds, bar, details)
        if wide or not shown.status:
            return grid
        return Group(
            grid, Text(f"  {shown.status}", style="dim", no_wrap=True, overflow="ellipsis")
        )


def _amount(value: float) -> str:
    return f"{value:.0f}"
