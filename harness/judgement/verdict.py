"""The three-valued verdict, the rule that gives it, and outcomes.

Failed: the control held, the fault was felt and the subject met it, an objective is broken for no
reason but that. Survived: the control held, the fault was felt and the subject met it, exposure was
reached, everything that is judged was seen, every objective is met. Everything else is inconclusive
and says whose fault it is. Pure: a history goes in, a `Result` comes out; it can be recomputed from
a run folder at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Literal

from harness.declare import Expect, Exposure, Finding, Objective, Sighting
from harness.history.facts import Json
from harness.history.history import History
from harness.history.records import Window
from harness.judgement.contention import most_crowded
from harness.judgement.exposure import Felt, exposures, felt
from harness.judgement.trust import Blame, Missing, not_asked, not_met, not_served, not_watched

VerdictValue = Literal["survived", "failed", "inconclusive"]
Outcome = Literal["as expected", "wrong verdict", "wrong reason", "inconclusive"]


@dataclass(frozen=True)
class Result:
    """A verdict with everything that it rests on. `deciding` is the one line to show first.

    `exposure` is what survival needs of each fault of `felt`; empty if the manifests were not
    reached.
    """

    verdict: VerdictValue
    deciding: str
    blame: Blame | None
    outcome: Outcome
    reasons: tuple[str, ...]
    control: tuple[tuple[str, Finding], ...]
    objectives: tuple[tuple[str, Finding], ...]
    felt: tuple[Felt, ...]
    exposure: tuple[Exposure, ...]
    shows: tuple[tuple[str, Sighting | None], ...]

    def to_json(self) -> Json:
        """The result as stored in `verdict.json` and in reports (schema: docs/history.md)."""
        needed = [asdict(exposure) for exposure in self.exposure]
        return {
            "verdict": self.verdict,
            "outcome": self.outcome,
            "blame": self.blame,
            "deciding": self.deciding,
            "reasons": list(self.reasons),
            "control": [_finding(n, f) for n, f in self.control],
            "objectives": [_finding(n, f) for n, f in self.objectives],
            "felt": [
                {
                    "fault": f.fault,
                    "seconds": round(f.seconds, 3),
                    "since": f.since,
                    "asked": f.last.asked if f.last else None,
                    "achieved": f.last.achieved if f.last else None,
                    "exposure": needed[f.fault] if needed else None,
                }
                for f in self.felt
            ],
            "exposure": max(needed, key=itemgetter("seconds"), default=None),
            "shows": [
                {"what": n, "seen": s is not None, "at": s and s.at, "text": s and s.text}
                for n, s in self.shows
            ],
        }


def control_findings(
    history: History, objectives: Sequence[Objective]
) -> tuple[tuple[str, Finding], ...]:
    """What every objective says of the control phase."""
    return tuple((o.describe(), o.control(history)) for o in objectives)


def judge(history: History, objectives: Sequence[Objective], expect: Expect) -> Result:
    """The verdict and outcome of a history; see the module's text for the rule."""
    needed = exposures(history, objectives) if history.facts.roles else ()
    felts = tuple(felt(history, i) for i in range(len(history.faults)))
    control = control_findings(history, objectives) if history.phase("control") else ()
    found = tuple((o.describe(), o.judge(history)) for o in objectives) if control else ()
    shows = tuple((s.describe(), s.seen(history)) for s in expect.shows) if control else ()
    verdict, blame, reasons = _rule(history, objectives, control, felts, needed, found)
    outcome = _outcome(verdict, expect, shows)
    if outcome == "wrong reason":
        missing = [
            f"{each.describe()} ({hint})" if (hint := each.hidden(history)) else each.describe()
            for each, (_, sighting) in zip(expect.shows, shows, strict=True)
            if sighting is None
        ]
        reasons = (*reasons, "not shown: " + "; ".join(missing))
    deciding = f"{verdict_prefix(outcome, shows)}{reasons[0]}"
    return Result(verdict, deciding, blame, outcome, reasons, control, found, felts, needed, shows)


def verdict_prefix(outcome: Outcome, shows: Sequence[tuple[str, Sighting | None]]) -> str:
    """What a wrong reason says before the reason itself: the first thing that was not shown."""
    if outcome != "wrong reason":
        return ""
    return f"did not show {next(name for name, seen in shows if seen is None)}: "


Ruling = tuple[VerdictValue, Blame | None, tuple[str, ...]]
"""Verdict, whose fault it is if it is inconclusive, and the reasons, the deciding one first."""


def _rule(
    history: History,
    objectives: Sequence[Objective],
    control: Sequence[tuple[str, Finding]],
    felts: Sequence[Felt],
    needed: Sequence[Exposure],
    found: Sequence[tuple[str, Finding]],
) -> Ruling:
    """The rule in reading order; the first line that applies gives the verdict."""
    if history.problems:
        first = history.problems[0]
        return "inconclusive", _blame(first.blame), tuple(p.message for p in history.problems)
    lost = control_lost(history, control)
    if lost is not None:
        return lost
    behind = _generator_behind(history, "inject", "recover")
    if behind is not None:
        return behind
    unfelt = [Missing("harness", _not_felt(history, f)) for f in felts if not f.ever]
    if unproven := [*unfelt, *not_met(history)]:
        return _inconclusive(unproven)
    answers = [(o, f) for o, (_, f) in zip(objectives, found, strict=True)]
    if broken := [(o, f) for o, f in answers if f.state == "broken"]:
        return _broken(history, felts, broken)
    missing = [
        *not_asked(history),
        *(each for o in objectives for each in not_watched(history, o)),
        *(
            _short(history, f, e)
            for f, e in zip(felts, needed, strict=True)
            if f.seconds < e.seconds
        ),
        *(Missing("harness", f"still open: {f.reason}") for _, f in answers if f.state == "open"),
    ]
    if missing:
        return _inconclusive(missing)
    return "survived", None, tuple(f.reason for _, f in answers)


def _inconclusive(missing: Sequence[Missing], *more: str) -> Ruling:
    """The first of what is missing decides whose business it was."""
    reasons = dict.fromkeys([*(each.reason for each in missing), *more])
    return "inconclusive", missing[0].blame, tuple(reasons)


def _broken(
    history: History, felts: Sequence[Felt], broken: Sequence[tuple[Objective, Finding]]
) -> Ruling:
    """Failed by what broke, unless all of it says nothing of the configuration."""
    excuses = [(_excuse(history, felts, o, f), f.reason) for o, f in broken]
    failed = [reason for excuse, reason in excuses if excuse is None]
    excused = [reason for excuse, reason in excuses if excuse is not None]
    if failed:
        return "failed", None, (*failed, *excused)
    return _inconclusive([excuse for excuse, _ in excuses if excuse is not None], *excused)


def _excuse(
    history: History, felts: Sequence[Felt], objective: Objective, finding: Finding
) -> Missing | None:
    """Why something that broke is not to be laid on the configuration under the fault."""
    at_work = min((f.at_work for f in felts if f.at_work is not None), default=0)
    if finding.at is not None and finding.at < at_work:
        return Missing("subject", f"before any fault was felt: {finding.reason}")
    if unseen := not_watched(history, objective, finding.at):
        return unseen[0]
    if finding.at_any_speed:
        return None
    return _crowded(history, Window(history.injected_at or 0, finding.at))


def _short(history: History, felt_: Felt, needed: Exposure) -> Missing:
    return Missing(
        "harness",
        f"{history.faults[felt_.fault].describe} was felt for {felt_.seconds:.0f} s of the "
        f"{needed.seconds:.0f} s of exposure that survival needs ({needed.why})",
    )


def control_lost(history: History, control: Sequence[tuple[str, Finding]]) -> Ruling | None:
    """Why nothing can follow from this control phase, None if it held."""
    window = history.phase("control")
    if window is None or not window.closed:
        return "inconclusive", "harness", ("the control run did not take place",)
    unserved = not_served(history.requests.between(window.begin, window.end))
    if unserved is not None:
        return _inconclusive([unserved])
    behind = _generator_behind(history, "control", "control")
    if behind is not None:
        return behind
    broken = tuple(f"before any fault: {f.reason}" for _, f in control if f.state == "broken")
    if broken:
        crowded = _crowded(history, window)
        return _inconclusive([crowded] if crowded else [Missing("subject", broken[0])], *broken)
    undecided = tuple(f"still open: {f.reason}" for _, f in control if f.state == "open")
    if undecided:
        return "inconclusive", "harness", undecided
    return None


def _generator_behind(history: History, first: str, last: str) -> Ruling | None:
    window = history.span(first, last)
    if window is None:
        return None
    health = history.requests.generator_health(window.begin, window.end)
    if health.fell_behind:
        return "inconclusive", "host", (f"the load generator fell behind: {health.describe()}",)
    return None


def _crowded(history: History, window: Window) -> Missing | None:
    """A subject that broke while others had the machine is not to blame; one that held is good."""
    worst = most_crowded(history, window)
    if worst is None or not worst.crowded:
        return None
    return Missing("host", f"the machine was taken: {worst.describe()}")


def _not_felt(history: History, felt_: Felt) -> str:
    measured = [m for m in history.measurements if m.fault == felt_.fault]
    after = history.phase("inject")
    tried = [m for m in measured if after is not None and m.t >= after.begin]
    what = history.faults[felt_.fault].describe
    if not tried:
        return f"{what} was never measured after injection, so nothing shows that it was felt"
    return f"{what} was not felt: {tried[-1].note}"


def _outcome(
    verdict: VerdictValue, expect: Expect, shows: Sequence[tuple[str, Sighting | None]]
) -> Outcome:
    if verdict == "inconclusive":
        return "inconclusive"
    if verdict != expect.verdict:
        return "wrong verdict"
    if any(sighting is None for _, sighting in shows):
        return "wrong reason"
    return "as expected"


def _blame(text: str) -> Blame:
    if text == "host":
        return "host"
    return "subject" if text == "subject" else "harness"


def _finding(name: str, finding: Finding) -> Json:
    return {"what": name, "state": finding.state, "reason": finding.reason, "at": finding.at}


def settled(history: History, objectives: Sequence[Objective], expect: Expect) -> bool:
    """True if the fault need not be kept up: exposure is reached, or all evidence is in.

    Exposure is not all where an objective waits for something that can only happen before the heal,
    and where a survivor has not shown yet what cured it. All evidence is in when an objective is
    broken and everything that the variant must show has been seen. What never comes is bounded by
    the caller.
    """
    felts = [felt(history, i) for i in range(len(history.faults))]
    if not all(f.ever for f in felts):
        return False
    found = [o.judge(history) for o in objectives]
    shown = all(s.seen(history) is not None for s in expect.shows)
    if any(f.state == "broken" for f in found):
        return shown
    if expect.verdict == "survived" and not shown:
        return False
    if any(f.state == "open" and f.before_heal for f in found):
        return False
    needed = exposures(history, objectives)
    return all(f.seconds >= e.seconds for f, e in zip(felts, needed, strict=True))


def decided(history: History, objectives: Sequence[Objective]) -> bool:
    """True if no objective waits for anything more; after the heal, that is."""
    findings = [o.judge(history) for o in objectives]
    return all(f.state != "open" or f.holds or f.before_heal for f in findings)


def exit_code(results: Sequence[Result], *, by_outcome: bool, residue: bool = False) -> int:
    """0, 1 or 3 for a run; 3 wins over 1, 1 over 0 (design: exit codes).

    Shipped scenarios exit by outcome, a user's subject by verdict.
    """
    if residue or any(r.verdict == "inconclusive" for r in results):
        return 3
    if by_outcome:
        return int(any(r.outcome != "as expected" for r in results))
    return int(any(r.verdict == "failed" for r in results))
