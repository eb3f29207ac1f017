"""Waiting: what ends it, what a failure tells."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from harness.errors import WaitTimeout
from harness.kube.eventually import eventually
from harness.kube.responses import ApiError, UnreachableError

pytestmark = pytest.mark.asyncio


class Surroundings:
    def active_faults(self) -> list[str]:
        return ["SlowDependency database 3s"]

    def recent_warnings(self) -> list[str]:
        return ["Unhealthy Pod/a: Liveness probe failed"]


async def test_the_true_value_is_returned() -> None:
    values = iter([0, None, "", "here"])
    assert await eventually(lambda: next(values), within=5, every=0, what="it") == "here"


async def test_async_checks_and_errors_that_time_mends() -> None:
    tries: Iterator[Exception] = iter(
        [
            AssertionError("not yet"),
            UnreachableError("down", remedy=""),
            ApiError(status=404, reason="NotFound", detail="no", request="GET", body={}),
            ApiError(status=403, reason="Forbidden", detail="quota", request="PATCH", body={}),
        ]
    )

    async def check() -> int:
        for error in tries:
            raise error
        return 7

    assert await eventually(check, within=5, every=0, what="it") == 7


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a bug"),
        ApiError(status=422, reason="Invalid", detail="spec", request="PATCH", body={}),
        ApiError(status=401, reason="Unauthorized", detail="", request="GET", body={}),
    ],
)
async def test_what_time_does_not_mend_leaves_at_once(error: Exception) -> None:
    looked = 0

    def check() -> bool:
        nonlocal looked
        looked += 1
        raise error

    with pytest.raises(type(error)):
        await eventually(check, within=30, what="it")
    assert looked == 1


async def test_a_failure_tells_what_was_wanted_seen_and_around() -> None:
    seen = iter([1, 1, 2])

    def check() -> bool:
        ready = next(seen, 3)
        assert ready > 3, f"{ready} of 4 ready"
        return True

    with pytest.raises(WaitTimeout) as caught:
        await eventually(
            check, within=0.2, every=0.01, what="4 replicas to be ready", context=Surroundings()
        )
    text = str(caught.value)
    assert "waited 0.2 s for: 4 replicas to be ready" in text
    assert "last seen" in text.splitlines()[1]
    assert "3 of 4 ready" in text.splitlines()[1]
    moves = text[text.index("transitions:") : text.index("active faults:")]
    assert [word in moves for word in ("1 of 4", "2 of 4", "3 of 4")] == [True] * 3
    assert moves.count("1 of 4") == 1
    assert "SlowDependency database 3s" in text
    assert "Liveness probe failed" in text
    assert "remedy:" in text


async def test_a_check_that_hangs_is_cut_off() -> None:
    async def check() -> bool:
        await asyncio.Event().wait()
        return True

    with pytest.raises(WaitTimeout, match="no check came to its end"):
        await eventually(check, within=0.1, what="it")


async def test_a_timeout_of_the_check_itself_is_not_the_end() -> None:
    tries = iter([True, False])

    async def check() -> bool:
        if next(tries):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        return True

    assert await eventually(check, within=5, every=0, what="it")
