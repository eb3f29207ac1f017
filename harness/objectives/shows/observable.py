"""What all observables share: the stretch of a trial in which they count, and how it is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from harness.declare import Declared, Sighting
from harness.history.history import History
from harness.history.records import SECOND, Window


@dataclass(frozen=True)
class Watched(Declared, ABC):
    """An observable that counts from injection until the subject is taken away."""

    def seen(self, history: History) -> Sighting | None:
        """The first place in the history where it was seen, None if it was not (yet)."""
        window = history.watched
        return None if window is None else self.seen_in(window, history)

    def hidden(self, history: History) -> str:
        """Why it may have happened unseen, in words; empty if nothing speaks for it."""
        return ""

    @abstractmethod
    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first place in this stretch."""


def after(history: History, t: int) -> str:
    """ "12 s after injection", for the end of a sentence."""
    begin = history.injected_at
    return f"{(t - begin) / SECOND:.0f} s after injection" if begin is not None else "before"


def until_heal(history: History) -> int:
    """Where the fault's own time ends: at the heal, or now."""
    heal = history.phase("heal")
    return heal.begin if heal is not None else history.now


def earliest(found: Sequence[tuple[int, str]], history: History) -> Sighting | None:
    """The first of several (time, words), told with its distance from injection."""
    if not found:
        return None
    t, what = min(found)
    return Sighting(t, f"{what} {after(history, t)}")
