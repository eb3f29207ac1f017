"""What a mutant is: a defect that would let a verdict lie or leave something behind.

Each names the piece of text that it replaces, so that it fails loudly when the code has moved on,
and the test files that must notice. The modules beside this one have them, room by room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One defect in one file, and the tests that must kill it."""

    name: str
    file: str
    old: str
    new: str
    tests: Sequence[str]

    def apply(self, text: str) -> str:
        """The mutated text. Raises ValueError unless the piece is there exactly once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.file} has the piece {text.count(self.old)} times")
        return text.replace(self.old, self.new)
