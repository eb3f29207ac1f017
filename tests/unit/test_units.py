from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from harness.units import (
    UnitError,
    names_in,
    quantity,
    quantity_bytes,
    resolve,
    seconds,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3s", 3.0),
        ("1m30s", 90.0),
        ("1m 30s", 90.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("2h", 7200.0),
        ("0", 0.0),
        ("12", 12.0),
        (7, 7.0),
        (0.5, 0.5),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_seconds(text: str | float | timedelta, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("bad", ["", "s", "3x", "-3s", "3s!", "1d", "3s4", "1h-2m", "nan", "1m s"])
def test_seconds_refuses(bad: str) -> None:
    with pytest.raises(UnitError) as raised:
        seconds(bad)
    assert "1m30s" in raised.value.remedy


@pytest.mark.parametrize("bad", [-1, -0.1, float("nan"), float("inf"), True, timedelta(seconds=-1)])
def test_seconds_refuses_numbers_that_are_no_durations(bad: float | timedelta) -> None:
    with pytest.raises(UnitError):
        seconds(bad)


def test_unit_error_is_a_value_error_so_that_pydantic_reports_it() -> None:
    assert issubclass(UnitError, ValueError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("readiness + 5s", 16.0),
        ("2 x liveness + 10s", 122.0),
        ("2xliveness", 112.0),
        ("1.5 * liveness", 84.0),
        ("3 × readiness", 33.0),
        ("10s", 10.0),
        ("liveness", 56.0),
        ("readiness-out + 1m", 60.0 + 21.0),
        (4, 4.0),
    ],
)
def test_resolve(text: str | float, expected: float) -> None:
    names = {"readiness": 11.0, "liveness": 56.0, "readiness-out": 21.0}
    assert resolve(text, names) == pytest.approx(expected)


@pytest.mark.parametrize(
    "bad", ["", "+", "readiness +", "x liveness", "2 x", "5s - 2s", "a b", "2 3s"]
)
def test_resolve_refuses_what_is_no_sum(bad: str) -> None:
    with pytest.raises(UnitError):
        resolve(bad, {"readiness": 1.0, "liveness": 1.0})
    with pytest.raises(UnitError):
        names_in(bad)


def test_resolve_names_the_missing_name_and_the_known_ones() -> None:
    with pytest.raises(UnitError) as raised:
        resolve("startup + 5s", {"readiness": 1.0})
    assert '"startup"' in raised.value.message
    assert "known: readiness" in raised.value.message


def test_names_in() -> None:
    assert names_in("2 x liveness + readiness + 5s") == {"liveness", "readiness"}
    assert names_in("5s") == frozenset()
    assert names_in(3) == frozenset()


def test_quantities() -> None:
    assert quantity("250m") == Decimal("0.25")
    assert quantity_bytes("256Mi") == 256 * 1024 * 1024
    assert quantity_bytes("1G") == 1_000_000_000
    assert quantity_bytes("1500m") == 2
    with pytest.raises(UnitError) as raised:
        quantity("2GB")
    assert "256Mi" in raised.value.remedy
