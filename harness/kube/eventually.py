"""The one way to wait: until a check holds, bounded, and with a failure that tells the story."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, overload

from harness.errors import ClusterError, WaitTimeout
from harness.kube.responses import ApiError

T = TypeVar("T")

_SHOWN = 400
_TRANSITIONS = 20


class FailureContext(Protocol):
    """What a failed wait adds from its surroundings."""

    def active_faults(self) -> list[str]:
        """One line for each fault that is injected now."""
        ...

    def recent_warnings(self) -> list[str]:
        """One line for each recent Warning event, oldest first."""
        ...


@dataclass(kw_only=True)
class Sightings:
    """What a wait saw: each change of the value with the seconds since the wait began."""

    began: float = field(default_factory=time.monotonic)
    transitions: list[tuple[float, str]] = field(default_factory=list)
    last: tuple[float, str] | None = None

    def see(self, value: object) -> None:
        text = f"{type(value).__name__}: {value}" if isinstance(value, Exception) else _short(value)
        now = time.monotonic() - self.began
        if self.last is None or self.last[1] != text:
            self.transitions.append((now, text))
        self.last = (now, text)

    def timeout(self, what: str, within: float, context: FailureContext | None) -> WaitTimeout:
        """The error of a wait that did not end well."""
        lines = [f"waited {within:g} s for: {what}"]
        if self.last is None:
            lines.append("  last seen: nothing, no check came to its end")
        else:
            lines.append(f"  last seen ({self.last[0]:.1f} s): {self.last[1]}")
        if len(self.transitions) > 1:
            lines.append("  transitions:")
            hidden = len(self.transitions) - _TRANSITIONS
            if hidden > 0:
                lines.append(f"    ({hidden} earlier ones left out)")
            lines += [f"    {at:6.1f} s  {text}" for at, text in self.transitions[-_TRANSITIONS:]]
        if context is not None:
            lines += _listed("active faults", context.active_faults())
            lines += _listed("recent Warning events", context.recent_warnings())
        return WaitTimeout(
            "\n".join(lines),
            remedy="Mend what the last sighting and the events name, or allow more time if it was"
            " still getting there.",
        )


@overload
async def eventually(
    check: Callable[[], Awaitable[T]],
    *,
    within: float,
    every: float = ...,
    what: str,
    context: FailureContext | None = ...,
) -> T: ...
@overload
async def eventually(
    check: Callable[[], T],
    *,
    within: float,
    every: float = ...,
    what: str,
    context: FailureContext | None = ...,
) -> T: ...
async def eventually(
    check: Callable[[], Any],
    *,
    within: float,
    every: float = 0.2,
    what: str,
    context: FailureContext | None = None,
) -> Any:
    """Calls `check` (sync or async) every `every` seconds until it returns something true, and
    returns that. A check that raises AssertionError, OSError, TimeoutError or a ClusterError that
    time may mend counts as not yet; any other error leaves at once. After `within` seconds raises
    `WaitTimeout`. A check that hangs is cut off with the wait.
    """
    sightings = Sightings()
    try:
        async with asyncio.timeout(within):
            while True:
                try:
                    value = await _call(check)
                except (AssertionError, OSError, TimeoutError, ClusterError) as error:
                    if not mendable(error):
                        raise
                    sightings.see(error)
                else:
                    sightings.see(value)
                    if value:
                        return value
                await asyncio.sleep(every)
    except TimeoutError as error:
        raise sightings.timeout(what, within, context) from error


def mendable(error: Exception) -> bool:
    """Whether waiting can help: a refused credential or a wrong field stays what it is."""
    if isinstance(error, WaitTimeout):
        return False
    return not (isinstance(error, ApiError) and error.stage in ("authentication", "validation"))


async def _call(check: Callable[[], Any]) -> Any:
    value = check()
    return await value if inspect.isawaitable(value) else value


def _listed(title: str, entries: list[str]) -> list[str]:
    if not entries:
        return [f"  {title}: none"]
    return [f"  {title}:", *(f"    {entry}" for entry in entries)]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
