"""How long judging a long trial takes: reading a million requests and applying the whole rule.

The trial is made up: 30 minutes with a request rate to match, a dozen pods, an event every second.
What is timed is what `harness judge` does for each trial. Run it with `python -m
harness.bench.judge`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from harness.declare import Expect
from harness.faults import SlowDependency
from harness.history.arrivals import SECOND, Schedule
from harness.history.facts import Json, RoleFacts
from harness.history.records import PHASES, SCHEMA
from harness.history.run_files import REQUESTS_FILE
from harness.history.writer import Writer
from harness.objectives import availability, latency, recovery, restarts, shows
from harness.runs.rejudge import judge_folder

GOAL_S = 2.0
_LENGTH_S = 1800.0
_PODS = 12
_BLOCK = 4096
_ROLE = RoleFacts(
    role="workload",
    ref="Deployment/web",
    namespace="n",
    workloads=("Deployment/web",),
    replicas=_PODS,
    liveness_s=60.0,
    readiness_out_s=30.0,
    readiness_back_s=11.0,
)


def write(folder: Path, requests: int) -> None:
    """A trial's folder with that many requests, which survived."""
    writer = Writer(folder)
    for t, type_, data in sorted(_records(), key=lambda record: record[0]):
        writer.append(type_, t=int(t * SECOND), **data)
    writer.close()
    _write_requests(folder / REQUESTS_FILE, requests)


def _records() -> list[tuple[float, str, Json]]:
    expect = Expect("survived", [shows.event("Unhealthy", on="workload")])
    given = [
        restarts("workload"),
        availability(during="all"),
        availability(during="recovered"),
        latency(at_most="2s", during="all"),
        recovery(),
    ]
    fault = SlowDependency("database", latency="3s")
    scenario = {"objectives": [o.to_json() for o in given], "faults": [fault.to_json()]}
    wanted = {"verdict": expect.verdict, "shows": [s.to_json() for s in expect.shows]}
    records: list[tuple[float, str, Json]] = [
        (0.0, "trial", {"schema": SCHEMA, "scenario": scenario, "expect": wanted}),
        (0.1, "facts", {"roles": {"workload": asdict(_ROLE)}, "scale": 1}),
    ]
    ends = (1, 2, 20, 60, 61, 65, _LENGTH_S - 60, _LENGTH_S - 59, _LENGTH_S - 5, _LENGTH_S - 1)
    edges = (0.0, *map(float, ends), _LENGTH_S)
    for name, begin, end in zip(PHASES, edges[:-1], edges[1:], strict=True):
        records.append((begin, "phase", {"phase": name, "edge": "begin"}))
        records.append((end - 0.001, "phase", {"phase": name, "edge": "end"}))
    owner = {"kind": "Deployment", "name": "web", "uid": "d", "controller": True}
    meta: Json = {"name": "web-1", "namespace": "n", "uid": "rs", "ownerReferences": [owner]}
    records.append((3.0, "object", _change("ReplicaSet", {"metadata": meta})))
    records += [(10.0 + i / 100, "object", _change("Pod", _pod(i, ready=True))) for i in range(12)]
    for second in range(66, int(_LENGTH_S) - 62):
        measured = {"fault": 0, "felt": True, "asked": {}, "achieved": {}, "note": ""}
        records.append((second + 0.5, "measurement", measured))
        pod = _pod(second % _PODS, ready=second % 5 > 0)
        records.append((second + 0.1, "object", _change("Pod", pod)))
        about = {"kind": "Pod", "name": "p", "namespace": "n", "uid": f"p{second % _PODS}"}
        event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Unhealthy"}
        records.append((second + 0.2, "object", _change("Event", event)))
    back = _LENGTH_S - 55
    records += [(back + i / 100, "object", _change("Pod", _pod(i, ready=True))) for i in range(12)]
    return records


def _pod(number: int, *, ready: bool) -> Json:
    owner = {"kind": "ReplicaSet", "name": "web-1", "uid": "rs", "controller": True}
    return {
        "metadata": {
            "name": f"web-1-{number}",
            "namespace": "n",
            "uid": f"p{number}",
            "ownerReferences": [owner],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {"name": "web", "restartCount": 0, "ready": ready, "state": {"running": {}}}
            ],
        },
    }


def _change(kind: str, obj: Json) -> Json:
    return {"kind": kind, "verb": "MODIFIED", "object": obj}


def _write_requests(path: Path, requests: int) -> None:
    begin, stop = 19.0, _LENGTH_S - 5
    header = {
        "started": int(begin * SECOND),
        "endpoints": ["GET /a", "POST /b"],
        "weights": [4.0, 1.0],
        "rate": requests / (stop - begin),
        "arrivals": "constant",
        "seed": 1,
        "open_loop": True,
        "timeout_s": 10.0,
    }
    schedule = Schedule(rate=requests / (stop - begin), seed=1, weights=(4.0, 1.0))
    left = requests
    with path.open("wb") as file:
        file.write(orjson.dumps({"header": header}) + b"\n")
        for offsets, endpoints in schedule.blocks(_BLOCK):
            intended = (offsets[:left] + int(begin * SECOND)).tolist()
            columns = {
                "intended": intended,
                "start": [t + 200_000 for t in intended],
                "end": [t + 15_000_000 + t % 9_000_000 for t in intended],
                "endpoint": endpoints[:left].tolist(),
                "status": [200] * len(intended),
            }
            file.write(orjson.dumps({"v": 1, **columns}) + b"\n")
            left -= len(intended)
            if left <= 0:
                break
        file.write(orjson.dumps({"end": {"stopped": int(stop * SECOND)}}) + b"\n")


def measure(requests: int, rounds: int) -> dict[str, object]:
    """Seconds of each round, the best of them, and the verdict that was reached."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, requests)
        timings = []
        for _ in range(rounds):
            began = time.monotonic()
            result = judge_folder(folder)
            timings.append(round(time.monotonic() - began, 3))
    best = min(timings)
    return {
        "requests": requests,
        "seconds": timings,
        "best": best,
        "goal": GOAL_S,
        "met": best < GOAL_S,
        "verdict": result.verdict,
        "deciding": result.deciding,
    }


def main(words: Sequence[str] | None = None) -> int:
    """Print the figures as JSON; 1 if the goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(words)
    figures = measure(given.requests, given.rounds)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
