"""Judging a recorded run again: folder in, verdicts out, no cluster.

The objectives of a trial are loaded from its history by registered name; of its faults the history
says all that judgement asks, so the Python that declared or carried them out is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import orjson

import harness.objectives.shows
from harness.declare import Expect, Objective, Observable, load_declared
from harness.errors import HistoryError
from harness.history.facts import Json
from harness.history.history import History
from harness.history.run_files import RUN_FILE, TRIAL_FILE, VERDICT_FILE
from harness.host.files import write_json
from harness.judgement.verdict import Result, exit_code
from harness.judgement.verdict import judge as apply_rule
from harness.runs.folder import Summary, finish, read_run, trial_folders

# Importing it registers every shipped objective.
REGISTERING = (harness.objectives.shows,)


def rejudge(folder: Path) -> int:
    """Rewrite the verdicts below a run folder; returns the exit code that they give."""
    results = []
    for each in trial_folders(folder):
        result = judge_folder(each)
        write_json(each / VERDICT_FILE, result.to_json())
        results.append(result)
    if (folder / RUN_FILE).is_file():
        run: Json = read_run(folder)
    else:
        trial = orjson.loads((folder / TRIAL_FILE).read_bytes())
        run = {"by": "outcome", "residue": trial.get("residue", [])}
    spoiled = bool(run["residue"]) or not run.get("complete", True)
    code = exit_code(results, by_outcome=run["by"] == "outcome", residue=spoiled)
    if (folder / RUN_FILE).is_file():
        write_json(folder / RUN_FILE, {**run, "exit_code": code})
    return code


def close_run(
    folder: Path, *, started: float, command: Sequence[str], subject: Path | None
) -> None:
    """Write `run.json` for trials that other processes ran into one folder."""
    files = sorted(folder.glob(f"*/{TRIAL_FILE}"), key=lambda p: p.stat().st_mtime)
    declared = [orjson.loads(path.read_bytes()) for path in files]
    tried_again = {
        file.parent.name: each["instead_of"]["folder"]
        for file, each in zip(files, declared, strict=True)
        if each.get("instead_of")
    }
    trials = [each.parent for each in files if each.parent.name not in tried_again.values()]
    finish(
        folder,
        [each.name for each in trials],
        [judge_folder(each) for each in trials],
        Summary(
            started=started,
            seed=declared[0]["seed"],
            command=command,
            subject=subject,
            versions=declared[0]["versions"],
            residue=[line for each in declared for line in each["residue"]],
            tried_again=tried_again,
        ),
    )


def judge_folder(folder: Path) -> Result:
    """The verdict of one trial's folder."""
    history = History.read(folder)
    trial = history.trial
    if not trial:
        raise HistoryError(
            f"{folder} has no trial record: it ended before its preflight",
            remedy="run it again; there is nothing to judge",
        )
    scenario, expect = trial["scenario"], trial["expect"]
    objectives = [cast(Objective, load_declared("objective", o)) for o in scenario["objectives"]]
    shows = [cast(Observable, load_declared("shows", s)) for s in expect["shows"]]
    return apply_rule(history, objectives, Expect(expect["verdict"], shows=shows))
