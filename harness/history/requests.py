"""The requests that the load sent, in columns, and what can be computed from them.

One row is one request: when it was meant to start, when it did, when it ended (all monotonic
nanoseconds), which endpoint, which outcome. Pure; reading the file that a generator writes is in
`requests_tail`. Latency counts from the *intended* start, so a stall is not
hidden by requests that were sent late because of it (coordinated omission), and a request without
an outcome counts as failed. Running the generator is the business of `harness.load`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.history.arrivals import SECOND, Due, Header
from harness.history.outcomes import (
    ACCEPTED,
    NOT_SENT,
    OUTCOMES,
    REJECTED,
    TIMEOUT,
    UNFINISHED,
    GeneratorHealth,
    Percentiles,
    Series,
    by_interval,
    nearest_rank,
)

Times = NDArray[np.int64]
COLUMNS = ("intended", "start", "end", "endpoint", "status")


@dataclass(frozen=True, kw_only=True, eq=False)
class Requests:
    """Columns of requests, ascending by `intended`.

    `intended`, `start`, `end`: int64 monotonic ns. `endpoint`: index into `endpoints`. `status`:
    HTTP status, or one of the outcomes above. `header` is what the generator declared. `due` knows
    the arrivals of an open-loop load; without it (a closed loop, hand-made columns) the rows are
    all there is. `recorded_until` is the moment up to which the file is known to be written and
    `dispatched` the arrivals handled by then; both None once the recording is over. `since` and
    `until` bound a window that `between` cut.
    """

    intended: Times
    start: Times
    end: Times
    endpoint: NDArray[np.int16]
    status: NDArray[np.int16]
    endpoints: tuple[str, ...] = ()
    header: Header | None = None
    due: Due | None = None
    recorded_until: int | None = None
    dispatched: int | None = None
    since: int | None = None
    until: int | None = None

    @classmethod
    def empty(cls) -> Requests:
        """No requests."""
        return cls.of([], [], [], [], [])

    @classmethod
    def of(
        cls, intended: Any, start: Any, end: Any, endpoint: Any, status: Any, **more: Any
    ) -> Requests:
        """From sequences in any order; `more` are the other fields."""
        moments = np.asarray(intended, dtype=np.int64)
        order = np.argsort(moments, kind="stable")
        return cls(
            intended=moments[order],
            start=np.asarray(start, dtype=np.int64)[order],
            end=np.asarray(end, dtype=np.int64)[order],
            endpoint=np.asarray(endpoint, dtype=np.int16)[order],
            status=np.asarray(status, dtype=np.int16)[order],
            **more,
        )

    def __len__(self) -> int:
        return len(self.intended)

    @property
    def open_loop(self) -> bool:
        """False if a user's own locustfile made the arrivals, so that a stall slows them down."""
        return self.header is None or self.header.open_loop

    @property
    def last_intended(self) -> int | None:
        """Intended start of the last recorded request, None if there is none."""
        return int(self.intended[-1]) if len(self) else None

    @property
    def recorded_end(self) -> int:
        """Up to when arrivals are known: while it runs, the last flush; then, its end."""
        known = [self.recorded_until, self.due.stop if self.due is not None else None]
        ends = [end for end in known if end is not None]
        return min(ends) if ends else (self.last_intended or 0)

    def between(self, begin: int, end: int | None) -> Requests:
        """Those that were meant to start in [begin, end); `end` None: up to the latest."""
        first = int(np.searchsorted(self.intended, begin, side="left"))
        last = len(self) if end is None else int(np.searchsorted(self.intended, end, side="left"))
        since = begin if self.since is None else max(begin, self.since)
        until = self.until if end is None else end
        if end is not None and self.until is not None:
            until = min(end, self.until)
        return replace(self._rows(slice(first, max(first, last))), since=since, until=until)

    def with_outcome(self) -> Requests:
        """Without those that are still on their way while the recording goes on.

        They may turn out well; one that never does gets its outcome when its timeout is over.
        """
        return self if self.recorded_until is None else replace(self, due=None)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Per row: 2xx, 3xx, or accepted by the user's own locustfile."""
        status = self.status
        fine: NDArray[np.bool_] = ((status >= 200) & (status < 400)) | (status == ACCEPTED)
        return fine

    @property
    def scheduled(self) -> int:
        """Arrivals that the load was to send in this window, recorded or not."""
        if self.due is None:
            return len(self)
        stop = self.until if self.until is not None else self.recorded_until
        if stop is None:
            stop = self.due.stop if self.due.stop is not None else (self.last_intended or 0) + 1
        due = self.due.before(stop)
        if self.since is not None:
            due -= self.due.before(self.since)
        return max(due, len(self))

    @property
    def pending(self) -> int:
        """Arrivals of this window that have no outcome yet (in flight, or not even sent)."""
        return self.scheduled - len(self)

    @property
    def settled(self) -> bool:
        """True if no record that is still to come can change what is computed from this window."""
        if self.recorded_until is None:
            return True
        if self.until is None or self.until > self.recorded_until or self.pending:
            return False
        if self.header is None or self.header.open_loop:
            return True
        # A closed loop announces nothing: whatever began in the window has ended by its timeout.
        return self.recorded_until >= self.until + int(self.header.timeout_s * SECOND)

    def complete_until(self, t: int) -> bool:
        """True if every request that was meant to start before `t` (ns) has its outcome."""
        return self.between(0, t).settled

    def reached(self) -> bool:
        """True if anything at the other end answered at all, whatever it said."""
        return bool(np.any((self.status >= ACCEPTED) | (self.status == REJECTED)))

    def availability(self) -> float:
        """Successful / intended requests; an arrival without an outcome has failed. nan if none."""
        return float(np.count_nonzero(self.ok)) / self.scheduled if self.scheduled else float("nan")

    def availability_at_most(self) -> float:
        """What `availability` would be if everything still pending succeeded. nan if none."""
        if not self.scheduled:
            return float("nan")
        return (float(np.count_nonzero(self.ok)) + self.pending) / self.scheduled

    def outcomes(self) -> dict[str, int]:
        """Requests by outcome ("200", "connection refused", ...), most frequent first."""
        values, counts = np.unique(self.status, return_counts=True)
        named = Counter(
            {
                OUTCOMES.get(int(value), str(int(value))): int(count)
                for value, count in zip(values, counts, strict=True)
            }
        )
        if self.pending:
            named["no outcome yet"] = self.pending
        return dict(named.most_common())

    def latencies(self) -> NDArray[np.float64]:
        """Seconds from intended start to end, of requests that were answered or waited in vain.

        A refused or reset connection ends at once and says nothing about speed (availability
        counts it); a timeout and an unfinished request are at least as slow as they waited.
        """
        told = self._told
        took: NDArray[np.float64] = (self.end[told] - self.intended[told]) / SECOND
        return took

    def percentile(self, percent: float) -> float:
        """Seconds within which `percent` (0 to 100] of all that was intended succeeded.

        inf if fewer than that succeeded at all: what failed has waited in vain. nan if nothing was
        intended.
        """
        if not self.scheduled:
            return float("nan")
        took = np.full(self.scheduled, np.inf)
        fine = self.ok
        took[: np.count_nonzero(fine)] = (self.end[fine] - self.intended[fine]) / SECOND
        return nearest_rank(np.sort(took), percent / 100)

    def failures(self, most: int = 3) -> str:
        """What the failed ones experienced, most frequent first; empty if none failed.

        "GET /cart answered 503 for 40 of 60 requests; POST /orders: timeout for 3 of 20 requests".
        """
        failed = ~self.ok
        pairs = zip(self.endpoint[failed].tolist(), self.status[failed].tolist(), strict=True)
        told = []
        for (index, status), count in Counter(pairs).most_common(most):
            where = self.endpoints[index] if index < len(self.endpoints) else "?"
            what = f" answered {status}" if status not in OUTCOMES else f": {OUTCOMES[status]}"
            of = np.count_nonzero(self.endpoint == index)
            told.append(f"{where}{what} for {count} of {of} requests")
        return "; ".join(told)

    def percentiles(self) -> Percentiles:
        """Exact percentiles (nearest rank) of `latencies`.

        All values are at hand, a million of them sorts in a tenth of a second, and a value that
        was really observed needs no error bound: a histogram would buy nothing here.
        """
        took = np.sort(self.latencies())
        p50, p95, p99, highest = (nearest_rank(took, q) for q in (0.50, 0.95, 0.99, 1.0))
        return Percentiles(count=len(took), p50=p50, p95=p95, p99=p99, max=highest)

    def generator_health(self, begin: int, end: int | None) -> GeneratorHealth:
        """Whether the stretch [begin, end) got the load that was declared.

        Asked of a live recording, it should end before `recorded_until`: arrivals that are due
        later count as not sent.
        """
        window = self.between(begin, end)
        scheduled = window.scheduled
        unsent = int(np.count_nonzero(window.status == NOT_SENT))
        if self.due is not None and self.dispatched is not None:
            first = self.due.before(begin)
            unsent += min(scheduled, max(0, first + scheduled - max(first, self.dispatched)))
        lag = np.sort(window.start - window.intended)
        return GeneratorHealth(
            scheduled=scheduled,
            sent=scheduled - unsent,
            lag_p99_s=nearest_rank(lag / SECOND, 0.99) if len(lag) else 0.0,
        )

    def per_interval(self, seconds: float) -> Series:
        """One row per `seconds` from the window's begin (or the first request) to the last one."""
        origin = self.since if self.since is not None else (int(self.intended[0]) if self else 0)
        return by_interval(
            self.intended - origin, self.end - self.intended, self._told, self.ok,
            origin=origin, width=int(seconds * SECOND),
        )  # fmt: skip

    @property
    def _told(self) -> NDArray[np.bool_]:
        """Per row: whether its time says something about speed."""
        waited = np.isin(self.status, (TIMEOUT, UNFINISHED, REJECTED))
        told: NDArray[np.bool_] = (self.status >= ACCEPTED) | waited
        return told

    def _rows(self, which: Any) -> Requests:
        return replace(
            self,
            intended=self.intended[which],
            start=self.start[which],
            end=self.end[which],
            endpoint=self.endpoint[which],
            status=self.status[which],
        )
