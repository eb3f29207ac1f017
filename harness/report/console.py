"""The console while trials run: what will be run, a line for each that is over, and the time left.

On a terminal every running trial has its own lines that change in place. Who asks for more gets a
plain line for each change of phase, too. The table at the end is in `summary`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.cluster.cpu_shares import shares
from harness.history.records import PHASES
from harness.host.progress import reporter
from harness.report.describe import about, counted
from harness.report.model import MARKS, Outcome, Verdict
from harness.report.summary import STYLES, print_summary
from harness.runs.fitting import NotApplicable
from harness.runs.options import Job
from harness.runs.outlook import Outlook

__all__ = ["LiveTrials", "print_summary"]

_NAME_WIDTH = 36
_BAR_WIDTH = 14
_WIDE = 130
_NAMES_WIDTH = 24


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

    slug: str
    variant: str
    begun: float
    phase: str = ""
    phase_begun: float = 0.0
    done: float = 0.0
    total: float = 0.0
    waits_for: str = ""
    status: str = ""
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    def __str__(self) -> str:
        return f"{self.slug}[{self.variant}]"


class LiveTrials:
    """Shows trials as they proceed; a context manager. Told by the run, never asks.

    Prints to the console that set-up uses (stderr), so that the two never draw over each other.
    `verbose`: phases, too. `clock` gives seconds and is replaced in tests.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or reporter().console
        self._verbose = verbose
        self._clock = clock
        self._trials: dict[str, _Shown] = {}
        self._outlook = Outlook([], 1)
        self._over = self._planned = 0
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

    def planned(
        self, jobs: Sequence[Job], left_out: Sequence[NotApplicable], *, by_outcome: bool
    ) -> None:
        """What will be run and what not, and how long that will take; in the order of the report.

        Not `by_outcome`: nobody said what to expect, and verdicts stand for themselves.
        """
        self._by_outcome = by_outcome
        self._planned = len(jobs)
        self._outlook = Outlook(jobs, shares())
        scenarios: dict[str, list[Job]] = {}
        for job in jobs:
            scenarios.setdefault(job.plan.scenario.slug, []).append(job)
        trials = f"{counted(len(jobs), 'trial')} of {counted(len(scenarios), 'scenario')}"
        self._print(Text(f"{trials}, {self._left()}", style="bold"))
        width = max(map(len, scenarios))
        for slug, each in scenarios.items():
            alone = any(job.plan.placement.exclusive for job in each)
            seconds = sum(job.seconds for job in each) / (1 if alone else min(shares(), len(each)))
            names = ", ".join(job.plan.variant for job in each)
            takes = f"{about(seconds)}, alone" if alone else about(seconds)
            self._print(Text(f"  {slug:<{width}}  {names:<{_NAMES_WIDTH}}  {takes}"))
        if left_out:
            self._print(Text("These do not apply:"))
        for not_run in left_out:
            self._print(Text(f"  {not_run.slug}: {not_run.why}"))

    def begin(self, trial: str, slug: str, variant: str) -> None:
        """A trial has begun; `trial` is its id, under which everything else is told."""
        now = self._clock()
        self._trials[trial] = shown = _Shown(slug, variant, now, phase_begun=now)
        self._outlook.begin((slug, variant), now)
        if self._verbose:
            self._line(shown, f"begins (trial {trial})")
        if self.console.is_terminal and self._live is None:
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
        if name == "remove":
            self._outlook.over((shown.slug, shown.variant), now)
        if self._verbose:
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
        """The trial is over; its verdict stays on the screen, with its reason if it is news."""
        shown = self._trials.pop(trial)
        self._over += 1
        if not self._trials:
            self._stop()
        text = Text(f"[{self._over}/{self._planned}] ")
        text.append(f"{MARKS[result.verdict]} {result.verdict}", style=STYLES[result.verdict])
        text.append(f"  {shown}  {self._clock() - shown.begun:.0f} s")
        if self._by_outcome:
            text.append(f", {result.outcome}")
        if self._over < self._planned:
            text.append(f"; {self._left()} left in all", style="dim")
        if not self._by_outcome or result.outcome != "as expected":
            text.append(f"\n    {result.deciding}")
        self._print(text)

    def again(self, slug: str, variant: str) -> None:
        """A trial that the host kept from a verdict will be made once more."""
        self._planned += 1
        self._outlook.again((slug, variant))
        self._print(Text("    the host is to blame: it is tried once more, alone"))

    def _left(self) -> str:
        return about(self._outlook.left(self._clock()))

    def _line(self, shown: _Shown, text: str) -> None:
        seconds = self._clock() - shown.begun
        self._print(Text(f"  {seconds:6.1f} s  {shown!s:<{_NAME_WIDTH}} {text}"))

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
        over = Text(f"[{self._over}/{self._planned}] {self._left()} left in all", style="dim")
        return Group(*(self._rows(shown, now) for shown in list(self._trials.values())), over)

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
        name = Text(str(shown), style="bold", overflow="ellipsis")
        details = "   ".join(text for text in (waits, shown.status) if text)
        wide = self.console.width >= _WIDE
        grid.add_row(shown.spinner, name, shown.phase, seconds, bar, details if wide else "")
        if wide or not details:
            return grid
        return Group(grid, Text(f"  {details}", style="dim", no_wrap=True, overflow="ellipsis"))


def _amount(value: float) -> str:
    return f"{value:.0f}"
