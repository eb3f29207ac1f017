"""Bounds in the words of a manifest: sums of durations and of names that the manifest defines."""

from __future__ import annotations

from typing import Literal

from harness.errors import UsageError
from harness.history.facts import TIMES, Facts
from harness.units import names_in, resolve


def check_bound(what: str, within: str) -> None:
    """UsageError for a name in `within` that no manifest defines."""
    unknown = sorted(names_in(within) - set(TIMES))
    if unknown:
        raise UsageError(
            f'{what} within "{within}": {", ".join(unknown)} is no time of a manifest',
            remedy=f"use durations and {', '.join(TIMES)}",
        )


def bound_seconds(
    within: str, facts: Facts, role: str, *, since: Literal["injection", "heal"]
) -> float:
    """The bound in seconds, with the times of a role; what it does not declare counts 0.

    Names are as short as the trial's scale made them. The scale divides durations as well where the
    bound counts from the injection: it allows for timers, which are scaled. What counts from the
    heal allows for the application's own speed, which is not.
    """
    scale = facts.scale if since == "injection" else 1
    faithful = {name: value * scale for name, value in _times(facts, role).items()}
    return resolve(within, faithful) / scale


def _times(facts: Facts, role: str) -> dict[str, float]:
    of = facts.role(role)
    return {
        "readiness": of.readiness_back_s or 0.0,
        "readiness-out": of.readiness_out_s or 0.0,
        "startup": of.startup_s or 0.0,
        "liveness": of.liveness_s or 0.0,
        "grace": of.grace_s,
    }
