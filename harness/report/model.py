"""What a report says, as data: the schema of `report.json` and the source of every other report.

Field names are stable: a field is added, never renamed, within one `schema` number. Times named
`*_s` are seconds; `at_s`, `begin_s` and `end_s` count from the injection of the trial's first fault
(from its first record where nothing was injected), so that variants can be compared. Reading a run
folder is in `folder`; `python -m harness.report.json_report` prints the JSON Schema.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["survived", "failed", "inconclusive"]
MARKS: dict[Verdict, str] = {"survived": "✓", "failed": "✗", "inconclusive": "?"}
Outcome = Literal["as expected", "wrong verdict", "wrong reason", "inconclusive"]
Judged = Literal["outcome", "verdict"]


class Model(BaseModel):
    """Base: unknown fields are refused, so that a typo cannot vanish."""

    model_config = ConfigDict(extra="forbid")


class Phase(Model):
    """One phase of a trial; `end_s` is null if the trial stopped in it."""

    name: str
    begin_s: float
    end_s: float | None


class ReportedFinding(Model):
    """What an objective said, in the control run or of the whole trial."""

    what: str
    state: Literal["met", "broken", "open"]
    reason: str
    at_s: float | None = None


class Shown(Model):
    """Something that the variant had to show, and where it was seen."""

    what: str
    seen: bool
    at_s: float | None = None
    text: str | None = None


class ReportedExposure(Model):
    """How long a fault must be felt before survival means anything."""

    seconds: float
    why: str


class ReportedFault(Model):
    """One fault: what was asked of it, what was achieved, for how long it was felt and must be."""

    what: str
    asked: dict[str, Any] | None
    achieved: dict[str, Any] | None
    felt_s: float
    exposure: ReportedExposure | None = None


class ReportedTraffic(Model):
    """Requests meant to start in one stretch of a trial; latencies from their intended start."""

    during: Literal["control", "fault", "recovery"]
    intended: int
    availability: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None
    outcomes: dict[str, int]


class Attempt(Model):
    """A trial that the host kept from a verdict, and that was made again; its folder is kept."""

    folder: str
    deciding: str


class Trial(Model):
    """One trial: its identity, its verdict and everything that the verdict rests on.

    `scale` divides probe periods, windows and graces; 1 is faithful. `instead_of` is the attempt
    in whose place this one was made, alone on the cluster.
    """

    folder: str
    slug: str
    title: str
    variant: str
    source: str = ""
    expected: str | None
    verdict: Verdict
    outcome: Outcome
    blame: str | None
    deciding: str
    reasons: list[str]
    started: float | None
    seconds: float | None
    seed: int | None
    scale: int
    onset: str | None
    load: dict[str, Any]
    phases: list[Phase]
    faults: list[ReportedFault]
    exposure: ReportedExposure | None
    control: list[ReportedFinding]
    objectives: list[ReportedFinding]
    shows: list[Shown]
    traffic: list[ReportedTraffic]
    versions: dict[str, Any]
    cluster: str | None = None
    instead_of: Attempt | None = None
    namespaces: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    residue: list[str] = Field(default_factory=list)

    @property
    def faithful(self) -> bool:
        """True if probe periods, windows and graces were not shortened."""
        return self.scale == 1


class Difference(Model):
    """One field in which the manifests of a scenario's variants differ.

    `values` maps each variant to its value (null: not set).
    """

    object: str
    path: str
    values: dict[str, Any]


class Comparison(Model):
    """The fields in which the variants of one scenario differ, as applied."""

    slug: str
    variants: list[str]
    differences: list[Difference]


class ReportedNotApplicable(Model):
    """A scenario that was not run, and why."""

    slug: str
    title: str = ""
    why: str


class Run(Model):
    """Facts of the run; what only describes (host, versions) is passed on as recorded."""

    id: str
    folder: str
    started: float | None
    ended: float | None
    seconds: float | None
    command: list[str]
    judged_by: Judged
    exit_code: int
    exit_reason: str
    seed: int | None
    subject: dict[str, Any]
    harness: dict[str, Any]
    host: dict[str, Any]
    versions: dict[str, Any]


class Report(Model):
    """The whole of `report.json`."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    headline: str
    run: Run
    trials: list[Trial]
    comparisons: list[Comparison]
    not_applicable: list[ReportedNotApplicable]
    residue: list[str]

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
