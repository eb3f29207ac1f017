"""What the load generator can do on this host, and what its parts cost.

`python -m harness.bench.load [--quick] [--json FILE]` prints three things: the highest open-loop
rate that was held, what recording costs against the same user with recording off (side by
side, medians), and how long it takes to read and judge a million recorded requests.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
from rich.console import Console

from harness.declare import Load
from harness.history.arrivals import SECOND, Schedule
from harness.history.outcomes import GeneratorHealth
from harness.history.requests import COLUMNS
from harness.history.requests_tail import RequestsTail
from harness.host.files import write_json
from harness.load.generator import Generator
from harness.load.plan import LoadPlan, plan

GOAL_RECORDING = 0.05
GOAL_JUDGE_S = 2.0
_MILLION = 1_000_000
_ROWS_PER_LINE = 250


async def main() -> None:
    """Parse the options, measure, print; with `--json` also write the figures to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    seconds, rounds = (2.0, 3) if options.quick else (5.0, 7)
    out = Console(highlight=False, soft_wrap=True)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        async with _target() as url:
            bench = _Bench(url, Path(folder), seconds)
            for rate in (80.0, 400.0):
                figures[f"recording at {rate:g}/s"] = await _recording(bench, rate, rounds, out)
            figures["highest rate"] = await _highest_rate(bench, out)
        figures["judge a million"] = _judge(Path(folder), 3 if options.quick else 5, out)
    if options.json:
        write_json(options.json, figures)


@dataclasses.dataclass
class _Bench:
    url: str
    folder: Path
    seconds: float
    runs: int = 0

    def plan(self, rate: float, *, record: bool = True) -> LoadPlan:
        self.runs += 1
        made = plan(
            self.url,
            Load(rate=1),
            requests=self.folder / f"requests-{self.runs}.jsonl",
            seed=self.runs,
        )
        return dataclasses.replace(made, rate=rate, record=record)


async def _recording(bench: _Bench, rate: float, rounds: int, out: Console) -> dict[str, Any]:
    """CPU per request with recording on and off: two users at once, so the host hits both."""
    cost: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds):
        first = bool(number % 2)
        async with (
            Generator.run(bench.plan(rate, record=first)) as one,
            Generator.run(bench.plan(rate, record=not first)) as other,
        ):
            # Behind the first requests, which pay for what is done once.
            await asyncio.sleep(0.5)
            begun, cpu = time.monotonic(), [_cpu_seconds(g.pid) for g in (one, other)]
            await asyncio.sleep(bench.seconds)
            took = time.monotonic() - begun
            spent = [_cpu_seconds(g.pid) - c for g, c in zip((one, other), cpu, strict=True)]
        cost[first].append(spent[0] / (took * rate))
        cost[not first].append(spent[1] / (took * rate))
    ratios = [on / off - 1 for on, off in zip(cost[True], cost[False], strict=True)]
    on, off = median(cost[True]), median(cost[False])
    out.print(
        f"recording at {rate:g}/s costs {median(ratios):+.1%} CPU (median of {rounds} pairs side "
        f"by side, from {min(ratios):+.1%} to {max(ratios):+.1%}; goal < {GOAL_RECORDING:.0%}): "
        f"{on * 1e6:.0f} µs per request, off {off * 1e6:.0f} µs; {on * rate:.1%} of a core"
    )
    return {"on_s": on, "off_s": off, "ratio": median(ratios), "ratios": ratios}


def _cpu_seconds(pid: int) -> float:
    """Seconds that its threads ran; the kernel counts in ns here, in 10 ms for utime and stime."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in tasks) / 1e9


async def _highest_rate(bench: _Bench, out: Console) -> dict[str, Any]:
    """Up by a quarter until two runs in a row are not held."""
    rate, failed, held = 250.0, 0, 0.0
    steps = []
    while failed < 2:
        health, availability, cpu = await _attempt(bench, rate)
        fine = not health.fell_behind and availability == 1.0
        held, failed = (rate, 0) if fine else (held, failed + 1)
        steps.append({"rate": rate, "held": fine, "cpu": cpu, "lag_p99_s": health.lag_p99_s})
        out.print(
            f"open loop at {rate:.0f}/s: {'held' if fine else 'NOT held'}: {health.describe()}, "
            f"availability {availability:.2%}, {cpu:.0%} of a core"
        )
        rate = round(rate * 1.25) if fine else rate
    out.print(f"highest open-loop rate held: {held:.0f}/s (target and generator on this host)")
    return {"rate": held, "steps": steps}


async def _attempt(bench: _Bench, rate: float) -> tuple[GeneratorHealth, float, float]:
    async with Generator.run(bench.plan(rate)) as generator:
        await asyncio.sleep(0.5)
        begin, cpu = time.monotonic_ns(), _cpu_seconds(generator.pid)
        await asyncio.sleep(bench.seconds)
        end, spent = time.monotonic_ns(), _cpu_seconds(generator.pid) - cpu
        await generator.stop()
    requests = generator.requests()
    health = requests.generator_health(begin, end)
    return health, requests.between(begin, end).availability(), spent * SECOND / (end - begin)


def _judge(folder: Path, rounds: int, out: Console) -> dict[str, Any]:
    path = folder / "million.jsonl"
    _write_million(path)
    took, spent = [], []
    for _ in range(rounds):
        begin, cpu = time.perf_counter(), time.process_time()
        requests = RequestsTail(path).read()
        requests.availability(), requests.percentiles(), requests.per_interval(1.0)
        requests.generator_health(0, None)
        took.append(time.perf_counter() - begin)
        spent.append(time.process_time() - cpu)
        if len(requests) != _MILLION:
            raise AssertionError(f"{len(requests)} requests were read")
    out.print(
        f"reading and judging 1 million requests ({path.stat().st_size / 1e6:.0f} MB): "
        f"{median(took):.2f} s, of CPU {median(spent):.2f} s (medians of {rounds}; "
        f"goal < {GOAL_JUDGE_S:g} s)"
    )
    return {"seconds": median(took), "cpu_s": median(spent)}


def _write_million(path: Path) -> None:
    """A recording of 1000 requests/s as the generator writes it: four lines a second."""
    header = {
        "started": 10**12, "endpoints": ["GET /"], "weights": [1.0], "rate": 1000.0,
        "arrivals": "constant", "seed": 1, "open_loop": True, "timeout_s": 10.0,
    }  # fmt: skip
    random = np.random.default_rng(1)
    intended = 10**12 + Schedule(rate=1000).offsets(_MILLION // 1000 * SECOND)
    start = intended + random.integers(50_000, 2_000_000, _MILLION)
    end = start + random.integers(1_000_000, 90_000_000, _MILLION)
    status = np.where(random.random(_MILLION) < 0.999, 200, 503)
    columns = (intended, start, end, np.zeros(_MILLION, dtype=np.int64), status)
    with path.open("wb") as file:
        file.write(orjson.dumps({"header": header}) + b"\n")
        for row in range(0, _MILLION, _ROWS_PER_LINE):
            rows = (c[row : row + _ROWS_PER_LINE].tolist() for c in columns)
            line: dict[str, Any] = {"v": 1, **dict(zip(COLUMNS, rows, strict=True))}
            file.write(orjson.dumps(line) + b"\n")
            sent = row + _ROWS_PER_LINE
            health = {"at": int(intended[sent - 1]) + 1, "scheduled": sent, "sent": sent}
            file.write(orjson.dumps({"health": health}) + b"\n")
        file.write(orjson.dumps({"end": {"stopped": int(intended[-1]) + 1}}) + b"\n")


@asynccontextmanager
async def _target() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "harness.bench.target", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
