"""Where the time of a run goes, from its folder alone: no cluster is needed.

`python -m harness.bench.trials [RUN]` (none: the newest) prints as JSON the wall time and what came
before the first trial, the median seconds of each phase, CPU seconds a trial, and for each number
of trials that stood side by side the minutes, the trials an hour, and those that the host kept from
a verdict.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import orjson

from harness.history.facts import Json
from harness.history.history import History
from harness.history.records import PHASES, SECOND
from harness.history.run_files import HISTORY_FILE, RUN_FILE, VERDICT_FILE

_RUNS = Path("harness-runs")


@dataclass(frozen=True)
class Trial:
    """Monotonic seconds at which a trial began and had its share of the CPU given back, seconds by
    phase, what was recorded of the machine, and whether the host kept it from a verdict."""

    begun: float
    over: float
    phases: dict[str, float]
    machine: Sequence[Json]
    spoiled: bool


def read(folder: Path) -> list[Trial]:
    """The trials of a run that came to their end, attempts that were made again included."""
    return [
        _trial(file.parent)
        for file in sorted(folder.glob(f"*/{HISTORY_FILE}"))
        if (file.parent / VERDICT_FILE).is_file()
    ]


def _trial(folder: Path) -> Trial:
    history = History.read(folder)
    windows = {name: window for name in PHASES if (window := history.phase(name))}
    verdict = orjson.loads((folder / VERDICT_FILE).read_bytes())
    return Trial(
        begun=history.records[0]["t"] / SECOND,
        over=windows["remove"].begin / SECOND,
        phases={
            name: (window.end - window.begin) / SECOND
            for name, window in windows.items()
            if window.end is not None
        },
        machine=history.machine,
        spoiled=verdict["blame"] == "host",
    )


def side_by_side(trials: Sequence[Trial]) -> dict[int, Json]:
    """What was achieved while 1, 2, ... trials had their share of the CPU.

    A trial counts where it was, by the part of its time that it spent there.
    """
    edges = sorted({t for each in trials for t in (each.begun, each.over)})
    took: dict[int, float] = defaultdict(float)
    made: dict[int, float] = defaultdict(float)
    spoiled: dict[int, float] = defaultdict(float)
    for begin, end in pairwise(edges):
        there = [each for each in trials if each.begun <= begin and end <= each.over]
        took[len(there)] += end - begin
        for each in there:
            part = (end - begin) / (each.over - each.begun)
            made[len(there)] += part
            spoiled[len(there)] += part * each.spoiled
    return {
        count: {
            "minutes": round(took[count] / 60, 1),
            "trials_an_hour": round((made[count] - spoiled[count]) * 3600 / took[count]),
            "spoiled_by_the_host": round(spoiled[count] / made[count], 3),
        }
        for count in sorted(made)
    }


def cpu_seconds(trials: Sequence[Trial]) -> float:
    """What the harness, its load generators and the cluster's nodes used, from the first reading to
    the last, for each trial."""
    readings = sorted((m for each in trials for m in each.machine), key=lambda m: m["t"])
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for reading in readings:
        used = {"own": reading["own"]}
        used |= {name: node["seconds"] for name, node in reading["nodes"].items()}
        first = used | first
        last |= used
    return sum(last[name] - first[name] for name in last) / len(trials)


def measure(folder: Path) -> Json:
    """All figures of one run; seconds unless they are named otherwise."""
    trials = read(folder)
    run = orjson.loads((folder / RUN_FILE).read_bytes())
    seen = {name: [t.phases[name] for t in trials if name in t.phases] for name in PHASES}
    wall = run["ended"] - run["started"]
    beside = side_by_side(trials)
    return {
        "run": folder.name,
        "trials": len(trials),
        "wall": round(wall, 1),
        "trials_an_hour": round(len(run["trials"]) * 3600 / wall),
        "without_any_trial": round(wall - sum(each["minutes"] for each in beside.values()) * 60),
        "side_by_side": beside,
        "median_of_phases": {name: round(median(each), 1) for name, each in seen.items() if each},
        "cpu_of_a_trial": round(cpu_seconds(trials), 1),
    }


def main(words: Sequence[str]) -> int:
    """Print the figures as JSON; 1 if there is no run."""
    named = [Path(word) for word in words]
    runs = sorted(_RUNS.glob(f"*/{RUN_FILE}"), key=lambda file: file.stat().st_mtime)
    for folder in named or [file.parent for file in runs[-1:]]:
        sys.stdout.write(json.dumps(measure(folder), indent=2) + "\n")
    return 0 if named or runs else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
