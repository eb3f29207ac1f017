"""What requests experienced."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from harness.declare import Sighting, register
from harness.history.history import History
from harness.history.outcomes import NOT_SENT, UNFINISHED
from harness.history.records import Window
from harness.objectives.shows.observable import Watched, after


@register("shows", "failed-requests")
@dataclass(frozen=True)
class FailedRequests(Watched):
    """At least so many requests that were meant to start since the injection failed."""

    at_least: int = field(default=5, kw_only=True)

    def describe(self) -> str:
        """One line for tables."""
        return f"at least {self.at_least} failed requests"

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The end of the last of them."""
        requests = history.requests.between(window.begin, window.end)
        # What the generator did not send, or did not wait for at its end, is its own doing.
        failed = ~requests.ok & ~np.isin(requests.status, (NOT_SENT, UNFINISHED))
        ends = np.sort(requests.end[failed])
        if len(ends) < self.at_least:
            return None
        t = int(ends[self.at_least - 1])
        text = f"{self.at_least} requests failed {after(history, t)}"
        return Sighting(t, f"{text}: {requests.failures(1)}")
