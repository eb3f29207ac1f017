"""How a request can end, and the figures that are computed from many of them.

Plain values and arithmetic: `harness.history.requests` knows what the columns mean, reports and
objectives show the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Outcomes that are not an HTTP status. Files hold these numbers: never give one a new meaning.
ACCEPTED = 0
REFUSED = -1
RESET = -2
TIMEOUT = -3
UNFINISHED = -4
NOT_SENT = -5
CLOSED = -6
BAD_RESPONSE = -7
UNREACHABLE = -8
OTHER = -9
REJECTED = -10
HELD_BACK = -11

OUTCOMES = {
    ACCEPTED: "accepted by the user's locustfile",
    REFUSED: "connection refused",
    RESET: "connection reset",
    TIMEOUT: "timeout",
    UNFINISHED: "unfinished",
    NOT_SENT: "not sent",
    CLOSED: "closed without an answer",
    BAD_RESPONSE: "not HTTP",
    UNREACHABLE: "host unreachable",
    OTHER: "other error",
    REJECTED: "rejected by the user's locustfile",
    HELD_BACK: "held back behind too many without an answer",
}

# Under 99 % of arrivals sent, or lag p99 over 50 ms: the load was not what was declared.
MIN_SENT_RATIO = 0.99
MAX_LAG_P99_S = 0.050

ENOUGH = 5
"""Requests; fewer in a stretch that is judged, and what became of them is chance."""

_LATENCY = (1 << 40) - 1  # 18 minutes in ns: no request waits so long


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Latency from intended start in seconds, of `count` requests; all nan if there are none."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, kw_only=True)
class GeneratorHealth:
    """Whether the generator sent what was declared: `sent` of `scheduled` arrivals, and how late.

    `lag_p99_s` is the 99th percentile of actual minus intended start, in seconds. An arrival that
    was held back counts as sent: who leaves so many without an answer would have left that one.
    """

    scheduled: int
    sent: int
    lag_p99_s: float

    @property
    def sent_ratio(self) -> float:
        """Share of the scheduled arrivals that were sent; 1 if none was scheduled."""
        return self.sent / self.scheduled if self.scheduled else 1.0

    @property
    def fell_behind(self) -> bool:
        """True if nothing may be concluded from this load: the host was too busy to send it."""
        return self.sent_ratio < MIN_SENT_RATIO or self.lag_p99_s > MAX_LAG_P99_S

    def describe(self) -> str:
        """One line for reasons and reports."""
        return (
            f"{self.sent} of {self.scheduled} arrivals sent ({self.sent_ratio:.1%}), "
            f"lag p99 {self.lag_p99_s * 1000:.1f} ms"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """One row per interval, by intended start: what a timeline shows.

    `t` is the begin of the interval (monotonic ns); `count` requests of which `ok` succeeded;
    `p50`, `p95`, `p99`, `max` in seconds, nan where there is no latency to tell.
    """

    t: NDArray[np.int64]
    count: NDArray[np.int64]
    ok: NDArray[np.int64]
    p50: NDArray[np.float64]
    p95: NDArray[np.float64]
    p99: NDArray[np.float64]
    max: NDArray[np.float64]


def nearest_rank(ascending: NDArray[np.float64], q: float) -> float:
    """The quantile `q` (0 to 1] as a value that was observed; nan if there is none."""
    if not len(ascending):
        return float("nan")
    return float(ascending[max(1, int(np.ceil(q * len(ascending)))) - 1])


def by_interval(
    offset: NDArray[np.int64],
    took: NDArray[np.int64],
    told: NDArray[np.bool_],
    ok: NDArray[np.bool_],
    *,
    origin: int,
    width: int,
) -> Series:
    """Requests by interval of `width` ns after `origin`; `offset` ascends, `took` is in ns.

    `told` marks the rows whose time counts as latency.
    """
    bucket = offset // width
    size = int(bucket[-1]) + 1 if len(bucket) else 0
    where = bucket[told]
    # One sort of plain integers, interval first: three times as fast as sorting by two keys.
    latency = np.sort((where << 40) | np.minimum(took[told], _LATENCY)) & _LATENCY
    counts = np.bincount(where, minlength=size)
    first = np.cumsum(counts) - counts

    def quantile(q: float) -> NDArray[np.float64]:
        out = np.full(size, np.nan)
        some = counts > 0
        ranks = np.ceil(q * counts[some]).astype(np.int64).clip(min=1) - 1
        out[some] = latency[first[some] + ranks] / 1e9
        return out

    return Series(
        t=origin + np.arange(size, dtype=np.int64) * width,
        count=np.bincount(bucket, minlength=size),
        ok=np.bincount(bucket[ok], minlength=size),
        p50=quantile(0.50),
        p95=quantile(0.95),
        p99=quantile(0.99),
        max=quantile(1.0),
    )
