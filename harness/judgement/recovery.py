"""When a subject was well again after the heal: ready as a whole, and serving.

Pure; what it came back from is not its business.
"""

from __future__ import annotations

from harness.history.history import History
from harness.history.records import SECOND
from harness.history.replicas import missing_series

SERVED = 0.99
"""Share of the requests that must succeed over the stretch that follows."""
STRETCH_S = 3
_STEP = SECOND // 4


def recovered_at(history: History, role: str = "workload") -> int | None:
    """When, after healing, the role was fully ready and requests succeeded again.

    That is the first moment after the heal from which no replica is missing and, over the
    `STRETCH_S` seconds that follow, `SERVED` of the requests succeed. Monotonic nanoseconds; None
    if not (yet) seen.
    """
    healed = history.healed_at
    if healed is None:
        return None
    for begin, end in _whole(history, role, healed):
        t = begin
        while end is None or t < end:
            served = history.requests.between(t, t + STRETCH_S * SECOND)
            # A later stretch must not be taken while this one may still turn out well.
            if not served.settled or t + STRETCH_S * SECOND > history.requests.recorded_end:
                return None
            if len(served) and served.availability() >= SERVED:
                return t
            t += _STEP
    return None


def _whole(history: History, role: str, healed: int) -> list[tuple[int, int | None]]:
    """The stretches after the heal in which no replica was missing; None: to this day."""
    stretches: list[tuple[int, int | None]] = []
    since: int | None = None
    for t, missing in missing_series(history, role):
        if not missing and since is None:
            since = t
        if missing and since is not None:
            stretches.append((since, t))
            since = None
    if since is not None:
        stretches.append((since, None))
    return [(max(begin, healed), end) for begin, end in stretches if end is None or end > healed]
