"""Reads a run folder into the report's data; needs no cluster and none of the user's Python.

`read_run` gives a `Source`: the `Report` and, trial by trial, the history it was made from, which
the HTML report asks for its timeline. Verdicts are read as recorded (`harness judge` recomputes
them); what a killed run left unfinished is reported as inconclusive instead of being left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, cast

import orjson

from harness.errors import HistoryError
from harness.history.facts import Json
from harness.history.history import History
from harness.history.records import PHASES, SECOND
from harness.history.requests import Requests
from harness.history.run_files import (
    HISTORY_FILE,
    MANIFESTS_FILE,
    RUN_FILE,
    TRIAL_FILE,
    VERDICT_FILE,
)
from harness.judgement.contention import most_crowded
from harness.report.compare import compare
from harness.report.describe import headline, why_exit
from harness.report.model import (
    Attempt,
    Judged,
    Phase,
    Report,
    ReportedExposure,
    ReportedFault,
    ReportedFinding,
    ReportedNotApplicable,
    ReportedTraffic,
    Run,
    Shown,
    Trial,
)


@dataclass(frozen=True)
class TrialSource:
    """A trial's folder, its report and the history that both came from."""

    folder: Path
    report: Trial
    history: History

    @property
    def zero(self) -> int:
        """Monotonic nanoseconds at which the trial's relative time is 0."""
        return zero_of(self.history)


@dataclass(frozen=True)
class Source:
    """Everything that a report of a run can be made of."""

    folder: Path
    report: Report
    trials: tuple[TrialSource, ...]


def load_run(folder: Path) -> Source:
    """The run in `folder` (or the one trial, if it is a trial's folder). Raises HistoryError."""
    if not folder.is_dir():
        raise HistoryError(
            f"{folder} is not a folder",
            remedy="name a run folder, such as the one that `harness run` printed last",
        )
    single = (folder / HISTORY_FILE).is_file() and not (folder / RUN_FILE).is_file()
    facts = {} if single else _json(folder / RUN_FILE, {})
    folders = [folder] if single else _trial_folders(folder, facts)
    if not folders and not facts:
        raise HistoryError(
            f"{folder} holds neither {RUN_FILE} nor a trial",
            remedy="name a run folder, such as the one that `harness run` printed last",
        )
    trials = tuple(read_trial(f) for f in folders)
    reports = [t.report for t in trials]
    run = _run(folder, facts, reports)
    return Source(
        folder,
        Report(
            headline=headline(run, reports),
            run=run,
            trials=reports,
            comparisons=compare([applied(t) for t in trials]),
            not_applicable=[
                ReportedNotApplicable(slug=n["slug"], title=n["title"], why=n["why"])
                for n in facts.get("not_applicable", [])
            ],
            residue=[str(r) for r in facts.get("residue", [])],
        ),
        trials,
    )


def applied(trial: TrialSource) -> tuple[Trial, str, list[Json]]:
    """A trial, its id (the suffix of its namespaces) and its manifests as applied."""
    name = str(trial.history.trial.get("trial", ""))
    return trial.report, name, _json(trial.folder / MANIFESTS_FILE, [])


def read_trial(folder: Path) -> TrialSource:
    """One trial's folder. Raises HistoryError if it has no history."""
    history = History.read(folder)
    facts = {**history.trial, **_json(folder / TRIAL_FILE, {})}
    scenario: Json = facts.get("scenario") or {}
    variant = str(facts.get("variant") or folder.name.partition("__")[2] or "as-given")
    verdict = _json(folder / VERDICT_FILE, None) or _interrupted(history)
    zero = zero_of(history)
    wall = [r["wall"] for r in (history.records[:1] + history.records[-1:])]
    expected = (facts.get("expect") or {}).get("verdict")
    report = Trial(
        folder=folder.name,
        slug=str(facts.get("slug") or scenario.get("slug") or folder.name.partition("__")[0]),
        title=str(facts.get("title") or scenario.get("title") or folder.name),
        variant=variant,
        instead_of=Attempt(**facts["instead_of"]) if facts.get("instead_of") else None,
        source=str(scenario.get("source", "")),
        expected=expected,
        verdict=verdict["verdict"],
        outcome=verdict["outcome"],
        blame=verdict.get("blame"),
        deciding=verdict["deciding"],
        reasons=verdict["reasons"],
        started=facts.get("started") or (wall[0] if wall else None),
        seconds=_first_number(facts.get("seconds"), wall[-1] - wall[0] if wall else None),
        seed=facts.get("seed"),
        scale=int(facts.get("scale") or 1),
        onset=facts.get("onset"),
        load=scenario.get("load") or {},
        phases=_phases(history, zero),
        faults=_faults(history, verdict),
        exposure=_exposure(verdict),
        control=_findings(verdict.get("control", []), zero),
        objectives=_findings(verdict.get("objectives", []), zero),
        shows=[
            Shown(what=s["what"], seen=s["seen"], at_s=_relative(s["at"], zero), text=s["text"])
            for s in verdict.get("shows", [])
        ],
        traffic=list(_traffic(history)),
        versions=facts.get("versions") or {},
        cluster=facts.get("cluster"),
        namespaces=list((facts.get("namespaces") or {}).values()),
        notes=_notes(facts, history),
        residue=[str(r) for r in facts.get("residue") or []],
    )
    return TrialSource(folder, report, history)


def zero_of(history: History) -> int:
    """The injection; without one the first record; 0 for an empty history."""
    if history.injected_at is not None:
        return history.injected_at
    return int(history.records[0]["t"]) if history.records else 0


def _trial_folders(folder: Path, facts: Json) -> list[Path]:
    named = [folder / name for name in facts.get("trials", [])]
    # What a killed run had not yet listed is reported too; an attempt that was made again is not.
    found = sorted(p.parent for p in folder.glob(f"*/{HISTORY_FILE}"))
    replaced = {
        folder / instead_of["folder"]
        for each in found
        if (instead_of := _json(each / TRIAL_FILE, {}).get("instead_of"))
    }
    unlisted = [f for f in found if f not in named and f not in replaced]
    return [f for f in named if (f / HISTORY_FILE).is_file()] + unlisted


def _run(folder: Path, facts: Json, trials: Sequence[Trial]) -> Run:
    started = facts.get("started") or min((t.started for t in trials if t.started), default=None)
    ended = facts.get("ended")
    if ended is None:
        ended = max(
            (t.started + t.seconds for t in trials if t.started and t.seconds), default=None
        )
    judged_by: Judged = "verdict" if facts.get("by") == "verdict" else "outcome"
    residue = bool(facts.get("residue"))
    code, reason = why_exit(trials, judged_by=judged_by, residue=residue)
    first = trials[0] if trials else None
    return Run(
        id=str(facts.get("id") or folder.name),
        folder=str(folder.resolve()),
        started=started,
        ended=ended,
        seconds=round(ended - started, 1) if started and ended else None,
        command=[str(word) for word in facts.get("command") or []],
        judged_by=judged_by,
        exit_code=int(facts["exit_code"]) if facts.get("exit_code") is not None else code,
        exit_reason=reason,
        seed=facts.get("seed", first.seed if first else None),
        subject=facts.get("subject") or {},
        harness=facts.get("harness") or {},
        host=facts.get("host") or {},
        versions=facts.get("versions") or (first.versions if first else {}),
    )


def _interrupted(history: History) -> Json:
    last = next((n for n in reversed(PHASES) if history.phase(n)), None)
    where = f"in phase {last}" if last else "before its first phase"
    text = f"the trial has no verdict: it was interrupted {where}"
    return {
        "verdict": "inconclusive",
        "outcome": "inconclusive",
        "blame": "harness",
        "deciding": text,
        "reasons": [text, *(p.message for p in history.problems)],
    }


def _phases(history: History, zero: int) -> list[Phase]:
    seen = [(name, window) for name in PHASES if (window := history.phase(name))]
    return [
        Phase(
            name=name,
            begin_s=round((w.begin - zero) / SECOND, 3),
            end_s=None if w.end is None else round((w.end - zero) / SECOND, 3),
        )
        for name, w in seen
    ]


def _notes(facts: Json, history: History) -> list[str]:
    said = [
        *(facts.get("notes") or []),
        *(r["text"] for r in history.records if r["type"] == "note"),
    ]
    worst = most_crowded(history, history.watched) if history.watched else None
    if worst is not None:
        said.append(f"while it was watched, {worst.describe()} at the worst")
    return list(dict.fromkeys(map(str, said)))


def _faults(history: History, verdict: Json) -> list[ReportedFault]:
    felt = {f["fault"]: f for f in verdict.get("felt", [])}
    return [
        ReportedFault(
            what=fault.describe,
            asked=felt.get(i, {}).get("asked"),
            achieved=felt.get(i, {}).get("achieved"),
            felt_s=felt.get(i, {}).get("seconds", 0.0),
            exposure=_exposure(felt.get(i, {})),
        )
        for i, fault in enumerate(history.faults)
    ]


def _exposure(of: Json) -> ReportedExposure | None:
    return ReportedExposure(**of["exposure"]) if of.get("exposure") else None


def _findings(found: Sequence[Json], zero: int) -> list[ReportedFinding]:
    return [
        ReportedFinding(
            what=f["what"], state=f["state"], reason=f["reason"], at_s=_relative(f.get("at"), zero)
        )
        for f in found
    ]


def _traffic(history: History) -> Iterator[ReportedTraffic]:
    """The load in the control run, under the fault, and after the heal."""
    spans = {
        "control": history.phase("control"),
        "fault": history.span("felt", "sustain"),
        "recovery": history.phase("recover"),
    }
    for during, window in spans.items():
        if window is None:
            continue
        requests: Requests = history.requests.between(window.begin, window.end)
        told = requests.percentiles()
        yield ReportedTraffic(
            during=cast(Any, during),
            intended=requests.scheduled,
            availability=_number(requests.availability()),
            p50_s=_number(told.p50),
            p95_s=_number(told.p95),
            p99_s=_number(told.p99),
            max_s=_number(told.max),
            outcomes=requests.outcomes(),
        )


def _relative(at: int | None, zero: int) -> float | None:
    return None if at is None else round((at - zero) / SECOND, 3)


def _number(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)


def _first_number(*values: float | None) -> float | None:
    return next((round(float(v), 1) for v in values if v is not None), None)


def _json(path: Path, default: Any) -> Any:
    if not path.is_file():
        return default
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise HistoryError(
            f"{path} is not JSON: {error}",
            remedy="the file was changed after it was written; restore it from a copy",
        ) from error
