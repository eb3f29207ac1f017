"""Bounds in the words of a manifest: sums of durations and of names that the manifest defines."""

from __future__ import annotations

from harness.errors import UsageError
from harness.history.facts import Facts
from harness.units import names_in, resolve

TIMES = ("grace", "liveness", "readiness", "readiness-out", "startup")
"""Names that a bound may use; their values come from the manifest."""


def check_bound(what: str, within: str) -> None:
    """UsageError for a name in `within` that no manifest defines."""
    unknown = sorted(names_in(within) - set(TIMES))
    if unknown:
        raise UsageError(
            f'{what} within "{within}": {", ".join(unknown)} is no time of a manifest',
            remedy=f"use durations and {', '.join(TIMES)}",
        )


def bound_seconds(within: str, facts: Facts, role: str) -> float:
    """The bound in seconds, with the times of a role; what it does not declare counts 0.

    The names are as short as the trial's scale made them; plain durations stay what they are.
    """
    return resolve(within, _times(facts, role))


def scaled_bound_seconds(within: str, facts: Facts, role: str) -> float:
    """As `bound_seconds`, where plain durations are those of a faithful trial, too."""
    faithful = {name: value * facts.scale for name, value in _times(facts, role).items()}
    return resolve(within, faithful) / facts.scale


def _times(facts: Facts, role: str) -> dict[str, float]:
    of = facts.role(role)
    return {
        "readiness": of.readiness_back_s or 0.0,
        "readiness-out": of.readiness_out_s or 0.0,
        "startup": of.startup_s or 0.0,
        "liveness": of.liveness_s or 0.0,
        "grace": of.grace_s,
    }
