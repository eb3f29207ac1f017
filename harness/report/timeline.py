"""A history on one time axis, reduced to what a screen can show.

Everything here returns plain JSON in seconds from the trial's zero (see `folder.zero_of`). Requests
become percentiles per interval, and the interval grows with the length of the trial, so that the
size of a report is bounded: thirty minutes are 1800 intervals of one second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan
from typing import Any, TypeVar

from harness.history.facts import Json
from harness.history.history import History
from harness.history.records import SECOND, Window
from harness.report.model import Trial

T = TypeVar("T")

MAX_INTERVALS = 2000
MAX_MARKS = 600
INTERVALS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)


def timeline(history: History, trial: Trial, zero: int) -> Json:
    """All series of one trial; `t` arrays ascend, null is a gap, latencies are in milliseconds."""
    begin, end = extent(history)
    roles = charted_roles(history)
    fault = history.span("inject", "heal")
    return {
        "begin": _at(begin, zero),
        "end": _at(end, zero),
        "phases": [
            [p.name, p.begin_s, p.end_s if p.end_s is not None else _at(end, zero)]
            for p in trial.phases
        ],
        "fault": _window(fault, end, zero),
        "felt": felt_stretches(history, zero),
        "requests": requests(history, begin, end, zero),
        "ready": {role: steps(history.ready_series(role), end, zero) for role in roles},
        "replicas": {role: history.facts.role(role).replicas for role in roles},
        "restarts": {role: restarts(history, role, begin, end, zero) for role in roles},
        "memory": memory(history, end, zero),
        "measured": measured(history, trial, zero),
        "events": marks(history, zero),
    }


def extent(history: History) -> tuple[int, int]:
    """First and last moment worth showing: from the first phase to the end of the history."""
    times = [r["t"] for r in history.records]
    if not times:
        return 0, 0
    last = history.requests.last_intended
    return min(times), max([*times, *([last] if last is not None else [])])


def charted_roles(history: History) -> list[str]:
    """The workload first, then other roles with pods whose readiness or restarts moved."""
    bound = [name for name, facts in history.facts.roles.items() if facts.workloads]
    # Several roles may name the same object (entry and workload): one line is enough.
    seen: set[tuple[str, ...]] = set()
    out = []
    for name in sorted(bound, key=lambda n: n != "workload"):
        workloads = history.facts.role(name).workloads
        if workloads in seen or not history.pods_of(name):
            continue
        seen.add(workloads)
        out.append(name)
    return out


def interval_s(seconds: float) -> int:
    """The shortest interval that needs at most `MAX_INTERVALS` of them."""
    fitting = (i for i in INTERVALS_S if seconds / i <= MAX_INTERVALS)
    return next(fitting, INTERVALS_S[-1])


def requests(history: History, begin: int, end: int, zero: int) -> Json:
    """Columns per interval: `t`, `count`, `ok`, `p50`, `p95`, `p99` (ms), and the interval (s)."""
    width = interval_s((end - begin) / SECOND)
    found = history.requests.between(begin, end + 1)
    first = found.intended[0] if len(found) else begin
    # Intervals aligned with zero: the injection is the edge of one, in every variant.
    origin = zero + (int(first) - zero) // (width * SECOND) * width * SECOND
    series = history.requests.between(origin, end + 1).per_interval(width)
    return {
        "interval": width,
        "t": [_at(t, zero) for t in series.t.tolist()],
        "count": series.count.tolist(),
        "ok": series.ok.tolist(),
        **{
            name: [_ms(v) for v in getattr(series, name).tolist()] for name in ("p50", "p95", "p99")
        },
    }


def steps(series: Sequence[tuple[int, int]], end: int, zero: int) -> list[list[float]]:
    """A step function as `[times, values]`, held until `end`."""
    points = thin(series)
    if points and points[-1][0] < end:
        points.append((end, points[-1][1]))
    return [[_at(t, zero) for t, _ in points], [v for _, v in points]]


def restarts(history: History, role: str, begin: int, end: int, zero: int) -> list[list[float]]:
    """Restarts so far, as steps from 0."""
    found = history.restarts(role)
    counted = [(begin, 0), *((r.t, n) for n, r in enumerate(found, start=1))]
    return steps(counted, end, zero)


def memory(history: History, end: int, zero: int) -> Json | None:
    """Memory per container where it was sampled: bytes by interval, and the limit."""
    samples = list(history.samples("memory_bytes"))
    if not samples:
        return None
    width = interval_s((end - samples[0]["t"]) / SECOND) * SECOND
    slots = sorted({(r["t"] - zero) // width for r in samples})
    index = {slot: i for i, slot in enumerate(slots)}
    lines: dict[str, list[int | None]] = {}
    for r in samples:
        line = lines.setdefault(f"{r['pod']}/{r['container']}", [None] * len(slots))
        i = index[(r["t"] - zero) // width]
        # The highest of an interval: a peak is what kills a container.
        line[i] = max(line[i] or 0, int(r["value"]))
    return {
        "t": [_at(zero + slot * width, zero) for slot in slots],
        "lines": lines,
        "limit": max((r["limit"] for r in samples if r.get("limit")), default=None),
    }


def felt_stretches(history: History, zero: int) -> list[list[float]]:
    """Unbroken stretches of felt measurements, as `[begin, end]`; over all faults together."""
    out: list[list[float]] = []
    open_: dict[int, int] = {}
    last: dict[int, int] = {}
    for m in history.measurements:
        if m.felt:
            open_.setdefault(m.fault, m.t)
            last[m.fault] = m.t
        elif m.fault in open_:
            out.append([_at(open_.pop(m.fault), zero), _at(last[m.fault], zero)])
    out += [[_at(begin, zero), _at(last[fault], zero)] for fault, begin in open_.items()]
    return sorted(out)


def measured(history: History, trial: Trial, zero: int) -> list[Json]:
    """Per fault the first number that was both asked and achieved, through time."""
    out = []
    for number, fault in enumerate(trial.faults):
        found = [m for m in history.measurements if m.fault == number]
        if not found:
            continue
        key, asked_key = quantity_of([m.achieved for m in found], found[-1].asked)
        if key is None:
            continue
        points = thin(found)
        asked = found[-1].asked.get(asked_key) if asked_key else None
        out.append(
            {
                "what": fault.what,
                "key": key,
                "asked": asked,
                "t": [_at(m.t, zero) for m in points],
                "v": [_plain(m.achieved.get(key)) for m in points],
                "felt": [m.felt for m in points],
            }
        )
    return out


def quantity_of(achieved: Sequence[Json], asked: Json) -> tuple[str | None, str | None]:
    """The measured number to draw and the asked one that belongs to it.

    `seconds` belongs to `seconds_at_least`: same first word. Without such a pair the first number
    that was measured is drawn alone.
    """
    numbers = [k for a in achieved[-1:] for k, v in a.items() if _plain(v) is not None]
    for key in numbers:
        for other, value in asked.items():
            if _plain(value) is not None and (other == key or other.startswith(f"{key}_")):
                return key, other
    return (numbers[0] if numbers else None), None


def marks(history: History, zero: int) -> list[list[Any]]:
    """Kubernetes events to draw: `[t, reason, Warning?, object, message, count]`, warnings kept."""
    events = history.events
    if len(events) > MAX_MARKS:
        warnings = [e for e in events if e.type != "Normal"]
        events = thin(warnings, MAX_MARKS)
    return [
        [_at(e.t, zero), e.reason, e.type != "Normal", f"{e.kind}/{e.name}", e.message, e.count]
        for e in events
    ]


def thin(items: Iterable[T], limit: int = MAX_INTERVALS) -> list[T]:
    """At most `limit` items, evenly spread, first and last kept."""
    every = list(items)
    if len(every) <= limit:
        return every
    last = len(every) - 1
    return [every[round(i * last / (limit - 1))] for i in range(limit)]


def _window(window: Window | None, end: int, zero: int) -> list[float] | None:
    if window is None:
        return None
    return [_at(window.begin, zero), _at(window.end if window.end is not None else end, zero)]


def _plain(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _at(t: int, zero: int) -> float:
    return round((t - zero) / SECOND, 2)


def _ms(value: float) -> float | None:
    return None if isnan(value) else round(value * 1000, 1)
