"""Durations and Kubernetes quantities, and sums of them, parsed once at the edge.

What an author or a manifest writes as text (`"3s"`, `"1m30s"`, `"256Mi"`, `"readiness + 5s"`)
becomes a number of seconds or bytes here and nowhere else. What the names in such a sum stand for
is the caller's business (see `harness.manifest.exposure`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import durationpy

from harness.errors import UsageError

Duration = str | int | float | timedelta

# Go's syntax, which is also what GEP-2257 and Prometheus understand, with a fraction allowed.
_DURATION = re.compile(r"(\d+(\.\d+)?(h|ms|us|m|s) *)+")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_NAME = re.compile(r"[a-z][a-z-]*")
_FACTOR = re.compile(r"\s*[x×*]\s*|(?<=\d)\s+x\s+")
_HOW = 'write a duration such as "3s", "250ms" or "1m30s", or a plain number of seconds'
_HOW_SUM = 'write a sum of durations and names, such as "readiness + 5s" or "2 x liveness + 10s"'


class UnitError(UsageError, ValueError):
    """A duration, a quantity or a sum cannot be read; a `ValueError` for pydantic's sake."""


def seconds(value: Duration) -> float:
    """Seconds of a duration: `"1m30s"`, `"250ms"`, `"1.5s"`, a number of seconds, a `timedelta`.

    Raises `UnitError` for anything else, and for a negative duration.
    """
    if isinstance(value, timedelta):
        result = value.total_seconds()
    elif isinstance(value, bool):
        raise UnitError(f"{value} is no duration", remedy=_HOW)
    elif isinstance(value, int | float):
        result = float(value)
    else:
        result = _parse(value)
    if not 0 <= result < float("inf"):
        raise UnitError(f"{value} is no duration: it must be zero or more", remedy=_HOW)
    return result


def _parse(text: str) -> float:
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    if not _DURATION.fullmatch(stripped):
        raise UnitError(f'"{text}" is no duration', remedy=_HOW)
    try:
        return durationpy.from_str(stripped.replace(" ", "")).total_seconds()
    except durationpy.DurationError as error:
        raise UnitError(f'"{text}" is no duration: {error}', remedy=_HOW) from error


def resolve(expression: Duration, names: Mapping[str, float]) -> float:
    """Seconds of a sum whose terms are durations or `names`, each with an optional factor.

    `resolve("2 x liveness + 10s", {"liveness": 56})` is 122.0. Raises `UnitError` for a name that
    is not in `names` and for what is no sum.
    """
    if not isinstance(expression, str):
        return seconds(expression)
    total = 0.0
    for factor, atom in _terms(expression):
        if not _NAME.fullmatch(atom):
            total += factor * seconds(atom)
        elif atom in names:
            total += factor * names[atom]
        else:
            known = ", ".join(sorted(names)) or "none"
            raise UnitError(
                f'"{atom}" in "{expression}" has no value here (known: {known})', remedy=_HOW_SUM
            )
    return total


def names_in(expression: Duration) -> frozenset[str]:
    """The names that `resolve` will ask for; raises `UnitError` for what is no sum."""
    if not isinstance(expression, str):
        seconds(expression)
        return frozenset()
    names = set()
    for _, atom in _terms(expression):
        if _NAME.fullmatch(atom):
            names.add(atom)
        else:
            seconds(atom)
    return frozenset(names)


def _terms(expression: str) -> list[tuple[float, str]]:
    terms = []
    for term in expression.split("+"):
        parts = [part.strip() for part in _FACTOR.split(term.strip())]
        if len(parts) == 1 and parts[0]:
            terms.append((1.0, parts[0]))
        elif len(parts) == 2 and _NUMBER.fullmatch(parts[0]) and parts[1]:
            terms.append((float(parts[0]), parts[1]))
        else:
            raise UnitError(f'"{expression}" cannot be read', remedy=_HOW_SUM)
    return terms


def quantity(value: str | int | float | Decimal) -> Decimal:
    """The number of a Kubernetes quantity: `"250m"` is 0.25, `"256Mi"` is 268435456.

    Raises `UnitError` for what Kubernetes would refuse.
    """
    # Imported here: it pulls in the whole API client, half a second that most callers do not need.
    from kubernetes.utils.quantity import parse_quantity

    try:
        number: Decimal = parse_quantity(value)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise UnitError(
            f'"{value}" is no Kubernetes quantity',
            remedy='write a number with an optional suffix, such as "250m", "0.5", "256Mi" or "1G"',
        ) from error
    return number


def quantity_bytes(value: str | int | float | Decimal) -> int:
    """A memory or storage quantity in whole bytes, rounded up as Kubernetes does."""
    number = quantity(value)
    whole = int(number)
    return whole + 1 if number > whole else whole
