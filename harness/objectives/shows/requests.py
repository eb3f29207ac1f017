"""What requests experienced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.declare import Sighting, register
from harness.errors import UsageError
from harness.history.history import History
from harness.history.outcomes import NOT_SENT, OUTCOMES, UNFINISHED
from harness.history.records import Window
from harness.objectives.shows.observable import Watched, after

_CODES = {words: code for code, words in OUTCOMES.items() if code < 0}


@register("shows", "failed-requests")
@dataclass(frozen=True)
class FailedRequests(Watched):
    """At least so many requests that were meant to start since the injection failed.

    `how` asks for some of the ways in which they can: an HTTP status ("503") or words of reports
    ("connection refused", "connection reset", "timeout"). Which of the first two a client hears of
    a port on which nobody listens is up to what lies before it.
    """

    at_least: int = field(default=5, kw_only=True)
    how: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "how", tuple(self.how))
        for each in self.how:
            if each not in _CODES and not (each.isdigit() and 400 <= int(each) < 600):
                raise UsageError(
                    f"no request fails as {each!r}",
                    remedy=f'give statuses such as ["503"], or some of {", ".join(_CODES)}',
                )

    def describe(self) -> str:
        """One line for tables."""
        how = f": {' or '.join(self.how)}" if self.how else ""
        return f"at least {self.at_least} failed requests{how}"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The end of the last of them."""
        requests = history.requests.between(window.begin, window.end)
        # What the generator did not send, or did not wait for at its end, is its own doing.
        failed = ~requests.ok & ~np.isin(requests.status, (NOT_SENT, UNFINISHED))
        if self.how:
            codes = [_CODES[each] if each in _CODES else int(each) for each in self.how]
            failed &= np.isin(requests.status, codes)
        ends = np.sort(requests.end[failed])
        if len(ends) < self.at_least:
            return None
        t = int(ends[self.at_least - 1])
        text = f"{self.at_least} requests failed {after(history, t)}"
        return Sighting(t, f"{text}: {requests.failures(1)}")
