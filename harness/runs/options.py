"""What is asked of a run, who is told of it, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.judgement.verdict import Result
from harness.runs.fitting import NotApplicable
from harness.trial.placement import Listener
from harness.trial.trial import TrialPlan


class RunListener(Listener, Protocol):
    """Who is told how a run proceeds."""

    def planned(
        self, jobs: Sequence[Job], left_out: Sequence[NotApplicable], *, by_outcome: bool
    ) -> None: ...

    def begin(self, trial: str, slug: str, variant: str) -> None: ...

    def end(self, trial: str, result: Result) -> None: ...

    def again(self, slug: str, variant: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is asked of a run.

    `subject` None: each scenario with its own sample subject, judged by outcome. `variants` empty:
    all. `faithful`: probe timings unscaled. `shape`: at least this one; None:
    the smallest that serves. `cluster` None: the default one of the shape needed.
    """

    scenarios: Sequence[str] = ()
    variants: Sequence[str] = ()
    subject: Path | None = None
    faithful: bool = False
    seed: int | None = None
    shape: str | None = None
    cluster: str | None = None
    folder: Path | None = None
    scenarios_folder: Path | None = None
    command: Sequence[str] = ()


@dataclass(frozen=True)
class TrialEnd:
    """One finished trial; `versions` are those of its cluster."""

    plan: TrialPlan
    result: Result
    residue: tuple[str, ...]
    seconds: float
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial to be carried out, the seconds that it will take (see `durations`), and how it is
    planned once more, alone on its cluster, after an attempt that came to nothing."""

    plan: TrialPlan
    seconds: float
    again: Callable[[TrialEnd], Awaitable[TrialPlan]]


@dataclass
class RunEnd:
    """A finished run; `exit_code` as in the design."""

    folder: Path
    trials: list[TrialEnd] = field(default_factory=list)
    not_applicable: list[NotApplicable] = field(default_factory=list)
    exit_code: int = 0


class Quiet:
    """A listener for those who look at the outcome only."""

    def planned(
        self, jobs: Sequence[Job], left_out: Sequence[NotApplicable], *, by_outcome: bool
    ) -> None: ...

    def begin(self, trial: str, slug: str, variant: str) -> None: ...

    def phase(self, trial: str, name: str) -> None: ...

    def progress(self, trial: str, done: float, total: float, text: str) -> None: ...

    def status(self, trial: str, text: str) -> None: ...

    def end(self, trial: str, result: Result) -> None: ...

    def again(self, slug: str, variant: str) -> None: ...
