"""Sentences: what was asked, how the run ended, why the command leaves with its exit code.

Pure functions from the report's data to one line of text each; every report uses these, so that
console, JUnit and HTML say the same thing in the same words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.report.model import Judged, Run, Trial


def seconds_text(value: float | None) -> str:
    """`41 s`, `2 min 05 s`, `1 h 02 min`; `-` if not known."""
    if value is None:
        return "-"
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 120:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def about(value: float) -> str:
    """A time that is only estimated: `about 40 s`, `about 6 min`, `about 1 h 20 min`."""
    if value < 100:
        return f"about {max(1, round(value / 10)) * 10} s"
    minutes = round(value / 60)
    if minutes < 60:
        return f"about {minutes} min"
    return f"about {minutes // 60} h {minutes % 60:02d} min"


def headline(run: Run, trials: Sequence[Trial]) -> str:
    """The first line of the report: how the run ended, in one sentence."""
    total = len(trials)
    if not total:
        return "No scenario was run"
    if run.judged_by == "verdict":
        name = Path(str(run.subject.get("directory") or "The subject")).name
        failed = sum(t.verdict == "failed" for t in trials)
        unknown = sum(t.verdict == "inconclusive" for t in trials)
        if failed:
            return f"{name} does not survive {failed} of {counted(total, 'scenario')}"
        if unknown:
            return f"{name}: {unknown} of {counted(total, 'scenario')} inconclusive"
        return f"{name} survives {counted(total, 'scenario')}"
    good = sum(t.outcome == "as expected" for t in trials)
    if good == total:
        if total == 2 and len({t.slug for t in trials}) == 1:
            return "Both variants behaved as expected: " + " and ".join(
                f"{t.variant} {t.verdict}" for t in trials
            )
        return f"All {total} trials behaved as expected" if total > 1 else "As expected"
    other = Counter(t.outcome for t in trials if t.outcome != "as expected")
    parts = ", ".join(f"{count} {outcome}" for outcome, count in other.most_common())
    return f"{good} of {total} trials behaved as expected; {parts}"


def why_exit(trials: Sequence[Trial], *, judged_by: Judged, residue: bool) -> tuple[int, str]:
    """The exit code that these trials mean, and why (design: exit codes; 3 over 1 over 0)."""
    if residue:
        return 3, "something that a trial made is still there after healing"
    unknown = [t for t in trials if t.verdict == "inconclusive"]
    if unknown:
        return 3, f"inconclusive: {_names(unknown)}"
    if judged_by == "outcome":
        wrong = [t for t in trials if t.outcome != "as expected"]
        if wrong:
            return 1, f"not as expected: {_names(wrong)}"
        return 0, "every trial as expected"
    failed = [t for t in trials if t.verdict == "failed"]
    if failed:
        return 1, f"failed: {_names(failed)}"
    return 0, "every scenario survived"


def timings(trial: Trial) -> str:
    """Whether the probes ran at the manifests' own pace."""
    if trial.faithful:
        return "faithful: probe timings as in the manifests"
    return f"probe timings divided by {trial.scale}, ratios kept"


def case_name(trial: Trial) -> str:
    """`slug[variant]`, the name that pytest gives it too."""
    return f"{trial.slug}[{trial.variant}]"


def _names(trials: Sequence[Trial], limit: int = 4) -> str:
    names = [case_name(t) for t in trials[:limit]]
    more = len(trials) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def counted(count: int, what: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def outcome_text(trial: Trial, judged_by: Judged) -> str:
    """What is said beside a verdict: whose fault it is if it is inconclusive, else the outcome.

    Nothing for a user's subject: nobody said what to expect of it.
    """
    if trial.blame:
        return f"blame: {trial.blame}"
    return trial.outcome if judged_by == "outcome" else ""


def reason_text(trial: Trial) -> str:
    """The deciding reason, with what kept an earlier attempt from a verdict."""
    if trial.instead_of is None:
        return _deciding(trial)
    return f"{_deciding(trial)} (tried again, alone; at first: {trial.instead_of.deciding})"


def _deciding(trial: Trial) -> str:
    """A survival is decided by all that held and by the exposure."""
    if trial.verdict != "survived":
        return trial.deciding
    felt = dict.fromkeys(
        f"fault felt for {f.felt_s:.0f} s"
        + (f" ({f.exposure.seconds:.0f} s needed)" if f.exposure else "")
        for f in trial.faults
    )
    return "; ".join(dict.fromkeys([trial.deciding, *trial.reasons, *felt]))
