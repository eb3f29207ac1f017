"""Whatever is missing from a good trial, or odd in it, never makes a verdict by accident.

Each example takes a history that survives (or fails) and puts defects into it: where the evidence
is gone, nothing may be concluded, neither way, and whoever is blamed must have done it. The number
of examples is small by default; `make property` tries ten thousand of each.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import orjson
import pytest
from defects import BREAKING, EXCUSING, FATAL, HARMLESS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from survivors import Trial, failing, surviving

from harness.declare import Expect
from harness.history.history import History
from harness.history.run_files import HISTORY_FILE
from harness.judgement.verdict import Result, judge

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "60"))
tried = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """Choices that Hypothesis makes, so that it can shrink them."""

    data: st.DataObject

    def among(self, options: Sequence[T]) -> T:
        """One of several."""
        return self.data.draw(st.sampled_from(options))

    def between(self, low: int, high: int) -> int:
        """A number, both ends included."""
        return self.data.draw(st.integers(low, high))


NUMBERS = st.integers(0, len(surviving()) - 1)
SOME_HARMLESS = st.lists(st.sampled_from(sorted(HARMLESS)), max_size=3)


def with_harmless(trial: Trial, names: Sequence[str], choose: Drawn) -> Trial:
    for name in names:
        trial = HARMLESS[name](trial, choose)
    return trial


@tried
@given(NUMBERS, st.sampled_from(sorted(FATAL)), SOME_HARMLESS, st.data())
def test_without_its_evidence_nothing_survives_and_nothing_fails(
    number: int, name: str, more: Sequence[str], data: st.DataObject
) -> None:
    choose = Drawn(data)
    blame, defect = FATAL[name]
    result = defect(with_harmless(surviving()[number], more, choose), choose).judged()
    assert result.verdict == "inconclusive", f"{name}: {result.reasons}"
    assert result.blame == blame, f"{name}: {result.reasons}"


@tried
@given(NUMBERS, st.lists(st.sampled_from(sorted(FATAL)), min_size=2, max_size=4), st.data())
def test_several_defects_are_no_better_than_one(
    number: int, names: Sequence[str], data: st.DataObject
) -> None:
    trial = surviving()[number]
    for name in names:
        try:
            trial = FATAL[name][1](trial, Drawn(data))
        except (StopIteration, ValueError, IndexError):
            continue  # what it would have changed is gone already
    result = trial.judged()
    assert result.verdict == "inconclusive", f"{names}: {result.reasons}"
    assert result.blame in {FATAL[name][0] for name in names}, f"{names}: {result.reasons}"


@tried
@given(NUMBERS, SOME_HARMLESS, st.data())
def test_what_is_odd_and_says_nothing_changes_nothing(
    number: int, names: Sequence[str], data: st.DataObject
) -> None:
    result = with_harmless(surviving()[number], names, Drawn(data)).judged()
    assert result.verdict == "survived", f"{names}: {result.reasons}"


RESTARTS = [
    index
    for index, trial in enumerate(surviving())
    if any(o.name == "restarts" for o in trial.objectives)
]


@tried
@given(st.sampled_from(RESTARTS), st.sampled_from(sorted(BREAKING)), SOME_HARMLESS, st.data())
def test_what_the_subject_breaks_is_a_failure(
    number: int, name: str, more: Sequence[str], data: st.DataObject
) -> None:
    choose = Drawn(data)
    result = with_harmless(BREAKING[name](surviving()[number], choose), more, choose).judged()
    assert result.verdict == "failed", f"{name}: {result.reasons}"


@tried
@given(st.sampled_from(sorted(EXCUSING)), SOME_HARMLESS, st.data())
def test_what_broke_while_the_host_had_no_room_is_the_hosts(
    name: str, more: Sequence[str], data: st.DataObject
) -> None:
    choose = Drawn(data)
    trial = with_harmless(failing(), more, choose)
    assert trial.judged().verdict == "failed"
    result = EXCUSING[name](trial, choose).judged()
    assert (result.verdict, result.blame) == ("inconclusive", "host"), result.reasons


# -- live and from disk --------------------------------------------------------------------------

EVERY = {name: defect for name, (_, defect) in FATAL.items()} | HARMLESS | BREAKING
TRIALS = [*surviving(), failing()]


def any_trial(data: st.DataObject) -> Trial:
    """One of all trials, with defects of every kind."""
    choose = Drawn(data)
    trial = TRIALS[choose.between(0, len(TRIALS) - 1)]
    for name in data.draw(st.lists(st.sampled_from(sorted(EVERY)), max_size=2)):
        try:
            trial = EVERY[name](trial, choose)
        except (StopIteration, ValueError, IndexError):
            continue
    return trial


def known_at(trial: Trial, t: int) -> Trial:
    """What was known of it at a time, requests in flight included."""
    requests = trial.requests
    ended = requests.end <= t
    columns = (requests.intended, requests.start, requests.end, requests.endpoint, requests.status)
    so_far = type(requests).of(
        *(column[ended] for column in columns),
        endpoints=requests.endpoints,
        header=requests.header,
        due=requests.due,
        recorded_until=t,
        dispatched=int(np.count_nonzero(requests.intended <= t)),
    )
    records = tuple(r for r in trial.records if r["t"] <= t)
    return replace(trial, records=records, requests=so_far)


@tried
@given(st.data())
def test_a_decided_finding_never_changes(data: st.DataObject) -> None:
    trial = any_trial(data)
    first, last = trial.records[0]["t"], trial.records[-1]["t"]
    decided: dict[int, tuple[str, int | None]] = {}
    for t in [*np.linspace(first, last, 15, dtype=np.int64).tolist(), None]:
        history = (trial if t is None else known_at(trial, t)).history()
        if not history.facts.roles:
            continue
        for index, objective in enumerate(trial.objectives):
            found = objective.judge(history)
            if index in decided:
                assert (found.state, found.at) == decided[index], f"{objective} at {t}: {found}"
            elif found.state != "open":
                decided[index] = found.state, found.at


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples: each writes its own history over the last one."""
    return tmp_path_factory.mktemp("cut")


@tried
@given(st.data())
def test_a_history_that_was_cut_off_anywhere_is_judged_as_it_was_live(
    folder: Path, data: st.DataObject
) -> None:
    trial = any_trial(data)
    lines = [orjson.dumps(record) + b"\n" for record in trial.records]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    (folder / HISTORY_FILE).write_bytes(whole[:cut])
    read = History.read(folder)
    live = trial.history(whole[:cut].count(b"\n"))
    read.requests = trial.requests
    assert verdict(read, trial) == verdict(live, trial)


def verdict(history: History, trial: Trial) -> Result:
    return judge(history, trial.objectives, Expect("survived"))
