"""A history in a few lines, for the report section of a failing test. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.history.history import History
from harness.history.records import PHASES, SECOND, Window
from harness.judgement.contention import most_crowded
from harness.judgement.exposure import felt, measured_under_fault

WARNINGS = 8
"""Warning events that are shown, the latest ones."""
TRANSITIONS = 10
"""Changes of ready pods that are shown for each role, the latest ones."""


def tell(title: str, history: History, notes: Sequence[str], folder: Path) -> list[str]:
    """Phases, faults with what was asked and achieved, roles, load, events, and where it all is."""
    lines = [title, *(f"  {note}" for note in notes)]
    lines.append("  phases: " + (", ".join(_phases(history)) or "none"))
    lines += _listed("faults", _faults(history))
    lines += _listed("roles", _roles(history))
    lines += _listed("load", _load(history))
    lines += _listed("recent Warning events", warnings(history))
    lines += _listed("machine", _machine(history))
    lines.append(f"  history: {folder}")
    return lines


def warnings(history: History) -> list[str]:
    """The latest Warning events, oldest first."""
    found = [e for e in history.events if e.type == "Warning"]
    return [f"{e.reason} {e.kind}/{e.name}: {e.message}" for e in found[-WARNINGS:]]


def origin(history: History) -> int:
    """The moment from which the story counts: injection, else the first record."""
    if history.injected_at is not None:
        return history.injected_at
    return int(history.records[0]["t"]) if history.records else 0


def _phases(history: History) -> list[str]:
    out = []
    for name in PHASES:
        window = history.phase(name)
        if window is not None:
            end = window.end if window.end is not None else history.now
            lasting = "" if window.closed else " (when it ended)"
            out.append(f"{name} {(end - window.begin) / SECOND:.1f} s{lasting}")
    return out


def _faults(history: History) -> list[str]:
    out = []
    for index, fault in enumerate(history.faults):
        longest = felt(history, index)
        measured = measured_under_fault(history, index)
        text = f"felt for {longest.seconds:.1f} s" if longest.ever else "not felt"
        last = f"; last measurement: {measured[-1].note}" if measured else ""
        out.append(f"{fault.describe}: {text}{last}")
    return out


def _machine(history: History) -> list[str]:
    worst = most_crowded(history, Window(origin(history)))
    return [f"at the worst, {worst.describe()}"] if worst is not None else []


def _roles(history: History) -> list[str]:
    out = []
    zero = origin(history)
    for name, facts in history.facts.roles.items():
        if not facts.workloads:
            continue
        restarts = history.restarts(name)
        ready = history.ready_at(name, history.now)
        line = f"{name} ({facts.ref}): ready {ready} of {facts.replicas}, {len(restarts)} restarts"
        series = [(t, n) for t, n in history.ready_series(name) if t > zero][-TRANSITIONS:]
        changes = [f"{(t - zero) / SECOND:.0f} s: {n}" for t, n in series]
        out.append(line + (f"; ready by time: {', '.join(changes)}" if changes else ""))
        out += [
            f"  {(r.t - zero) / SECOND:.0f} s: {r.pod} restarted "
            f"({r.reason or 'no reason given'}, exit {r.exit_code})"
            for r in restarts[-TRANSITIONS:]
        ]
    return out


def _load(history: History) -> list[str]:
    if not history.requests.scheduled:
        return []
    windows = [(name, history.phase(name)) for name in ("control", "sustain", "recover")]
    shares = [_share("all", history, None)]
    shares += [_share(name, history, window) for name, window in windows if window is not None]
    return [share for share in shares if share]


def _share(name: str, history: History, window: Window | None) -> str:
    requests = history.requests
    if window is not None:
        requests = requests.between(window.begin, window.end)
    if not requests.scheduled:
        return ""
    worst = ", ".join(f"{count} x {what}" for what, count in list(requests.outcomes().items())[:4])
    return f"{name}: {requests.availability():.2%} of {requests.scheduled} requests ({worst})"


def _listed(title: str, entries: Sequence[str]) -> list[str]:
    if not entries:
        return [f"  {title}: none"]
    return [f"  {title}:", *(f"    {entry}" for entry in entries)]
