"""What was said to somebody who reached for what is out of bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from harness.declare import Sighting, register
from harness.history.history import History
from harness.history.records import Window
from harness.objectives.attempts import attempts_on
from harness.objectives.shows.observable import Watched, after


@dataclass(frozen=True)
class _Answered(Watched):
    """An attempt on a role with this answer, this code ("EROFS"; empty: any) and these words."""

    on: str
    code: str = field(default="", kw_only=True)
    says: str = field(default="", kw_only=True)

    answer: ClassVar[str]

    def describe(self) -> str:
        """One line for tables."""
        words = [self.code, f'saying "{self.says}"' if self.says else ""]
        return " ".join([f"an attempt on {self.on} {self.answer}", *filter(None, words)])

    def seen_in(self, window: Window, history: History) -> Sighting | None:
        """The first such answer."""
        for each in attempts_on(history, self.on, window):
            fits = each.answer == self.answer and self.says in each.text
            if fits and self.code in ("", each.code):
                text = f"{each.target} {each.answer} to {each.by}: {each.text}"
                return Sighting(each.t, f"{text} {after(history, each.t)}")
        return None


@register("shows", "allowed")
@dataclass(frozen=True)
class Allowed(_Answered):
    """An attempt got through."""

    answer: ClassVar[str] = "allowed"


@register("shows", "refused")
@dataclass(frozen=True)
class Refused(_Answered):
    """An attempt was refused."""

    answer: ClassVar[str] = "refused"
