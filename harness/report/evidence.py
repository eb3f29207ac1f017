"""The evidence that a report prints: events, probes, logs of crashes, audit, measurements.

Rows are grouped and capped, and every cap says what it left out; the whole history stays in the run
folder. Pure: a history goes in, rows of plain values come out, times in seconds from zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from harness.history.facts import Json
from harness.history.history import History
from harness.history.records import SECOND, Event, Measurement
from harness.objectives.shows.events import Probe
from harness.report.timeline import T, thin

MAX_ROWS = 120
MAX_LOGS = 9
MAX_LOG_CHARS = 6000

_COMPONENTS = (
    "system:node:",
    "system:serviceaccount:kube-system:",
    "system:kube-",
    "system:apiserver",
)


@dataclass
class EventRow:
    """Events with the same reason on the same object; `count` is the senders' own count."""

    first_s: float
    last_s: float
    count: int
    warning: bool
    reason: str
    object: str
    message: str
    source: str


@dataclass(frozen=True)
class LogRow:
    """The end of one container's log: `cut` lines came before it, `ended` is how it ended."""

    at_s: float
    pod: str
    container: str
    previous: bool
    ended: str
    text: str
    cut: int


@dataclass(frozen=True)
class AuditRow:
    """One change that somebody made through the API."""

    at_s: float
    user: str
    verb: str
    resource: str
    name: str
    code: int | None


@dataclass(frozen=True)
class MeasurementRow:
    """What a fault measured; `times` measurements in a row said the same of being felt."""

    first_s: float
    last_s: float
    fault: str
    felt: bool
    note: str
    times: int


@dataclass(frozen=True)
class BlindRow:
    """A stretch in which something was not observed."""

    begin_s: float
    end_s: float | None
    what: str
    why: str


@dataclass(frozen=True)
class Evidence:
    """All rows of one trial; `left_out` has a sentence for each cap that was reached."""

    events: list[EventRow]
    probes: list[EventRow]
    logs: list[LogRow]
    audit: list[AuditRow]
    measurements: list[MeasurementRow]
    blind: list[BlindRow]
    left_out: list[str]


def evidence(history: History, zero: int, faults: Sequence[str]) -> Evidence:
    """What to print of a history."""
    left_out: list[str] = []
    rows = group_events(history.events, zero)
    probes = [r for r in rows if r.reason == "Unhealthy" or "probe" in r.message]
    others = [r for r in rows if r not in probes]
    # Warnings first when there are too many; what is shown is in time order again.
    others.sort(key=lambda r: (not r.warning, r.first_s))
    shown = sorted(_cap(others, MAX_ROWS, "events", left_out), key=lambda r: r.first_s)
    return Evidence(
        events=shown,
        probes=_cap([*probes, *_counted(history, zero)], MAX_ROWS, "probe results", left_out),
        logs=_cap(_logs(history, zero), MAX_LOGS, "logs", left_out),
        audit=_cap(_audit(history, zero, left_out), MAX_ROWS, "audit records", left_out),
        measurements=_cap(
            group_measurements(history.measurements, zero, faults),
            MAX_ROWS,
            "measurements",
            left_out,
        ),
        blind=_blind(history, zero),
        left_out=left_out,
    )


def group_events(events: Sequence[Event], zero: int) -> list[EventRow]:
    """One row for each reason, object and message, in order of first arrival."""
    rows: dict[tuple[str, ...], EventRow] = {}
    for e in events:
        key = (e.reason, e.kind, e.name, e.message)
        at = _at(e.t, zero)
        row = rows.get(key)
        if row is None:
            rows[key] = EventRow(
                at,
                at,
                e.count,
                e.type != "Normal",
                e.reason,
                f"{e.kind}/{e.name}",
                e.message,
                e.source,
            )
        else:
            row.last_s, row.count = at, max(row.count + 1, e.count)
    return sorted(rows.values(), key=lambda r: r.first_s)


def _counted(history: History, zero: int) -> list[EventRow]:
    """Failed probes as kubelets counted them: a row for each container, since events run out."""
    rows: dict[tuple[str, ...], EventRow] = {}
    for probe in get_args(Probe):
        for r in history.samples(f"failed_{probe}_probes"):
            at = _at(r["t"], zero)
            row = rows.setdefault(
                (probe, r["pod_uid"], r["container"]),
                EventRow(
                    at,
                    at,
                    0,
                    True,
                    "counted",
                    f"Pod/{r['pod']}",
                    f"failed {probe} probes of container {r['container']}",
                    "kubelet /metrics/probes",
                ),
            )
            row.last_s, row.count = at, r["value"]
    return list(rows.values())


def group_measurements(
    measurements: Sequence[Measurement], zero: int, faults: Sequence[str]
) -> list[MeasurementRow]:
    """Runs of measurements that agree on whether the fault was felt; the last one's words."""
    rows: list[MeasurementRow] = []
    for m in measurements:
        name = faults[m.fault] if m.fault < len(faults) else f"fault {m.fault}"
        at = _at(m.t, zero)
        before = rows[-1] if rows else None
        if before is not None and (before.fault, before.felt) == (name, m.felt):
            rows[-1] = MeasurementRow(before.first_s, at, name, m.felt, m.note, before.times + 1)
        else:
            rows.append(MeasurementRow(at, at, name, m.felt, m.note, 1))
    return rows


def _logs(history: History, zero: int) -> list[LogRow]:
    rows = []
    for r in history.records:
        if r["type"] != "log":
            continue
        text: str = (r.get("text") or r.get("missing") or "").rstrip()
        tail = text[-MAX_LOG_CHARS:]
        if len(tail) < len(text):
            tail = tail.partition("\n")[2] or tail
        code = r.get("exit_code")
        ended = [str(r.get("reason") or ""), "" if code is None else f"exit {code}"]
        rows.append(
            LogRow(
                at_s=_at(r["t"], zero),
                pod=r["pod"],
                container=r["container"],
                previous=bool(r["previous"]),
                ended=", ".join(word for word in ended if word),
                text=tail,
                cut=text.count("\n") - tail.count("\n"),
            )
        )
    return rows


def _audit(history: History, zero: int, left_out: list[str]) -> list[AuditRow]:
    """Changes by anybody but Kubernetes' own components, at the API server's own time.

    Audit records are read after the fact, so the time of their arrival says nothing.
    """
    found = [r for r in history.records if r["type"] == "audit"]
    rows = [
        AuditRow(
            at_s=round(datetime.fromisoformat(r["at"]).timestamp() - _wall(r, zero), 2),
            user=r["user"],
            verb=r["verb"],
            resource="/".join(p for p in (r["resource"], r.get("subresource")) if p),
            name=r.get("name") or "",
            code=r.get("code"),
        )
        for r in found
        if not r["user"].startswith(_COMPONENTS)
    ]
    if len(rows) < len(found):
        left_out.append(
            f"{len(found) - len(rows)} changes that Kubernetes' own components made are left out"
        )
    return sorted(rows, key=lambda row: row.at_s)


def _wall(record: Json, zero: int) -> float:
    """Wall time at zero, by the clocks of one record."""
    arrived: float = record["wall"]
    return arrived - float(record["t"] - zero) / SECOND


def _blind(history: History, zero: int) -> list[BlindRow]:
    rows: list[BlindRow] = []
    open_: dict[str, tuple[float, str]] = {}
    for r in history.records:
        if r["type"] != "blind":
            continue
        if r["edge"] == "begin":
            open_[r["what"]] = (_at(r["t"], zero), r.get("reason") or "")
        elif r["what"] in open_:
            begin, why = open_.pop(r["what"])
            rows.append(BlindRow(begin, _at(r["t"], zero), r["what"], why))
    return rows + [BlindRow(begin, None, what, why) for what, (begin, why) in open_.items()]


def _cap(rows: list[T], limit: int, what: str, left_out: list[str]) -> list[T]:
    if len(rows) <= limit:
        return rows
    left_out.append(f"{limit} of {len(rows)} {what} are shown; all are in the run folder")
    return thin(rows, limit) if what != "events" else rows[:limit]


def _at(t: int, zero: int) -> float:
    return round((t - zero) / SECOND, 2)
