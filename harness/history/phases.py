"""When a trial was in which phase, and what lies before its injection."""

from __future__ import annotations

from harness.history.facts import Json
from harness.history.records import PHASES, SECOND, Window


class Phases:
    """The windows of a trial's phases, in monotonic nanoseconds; grows by `add_phase`."""

    def __init__(self) -> None:
        self._phases: dict[str, list[int | None]] = {}
        self._injected_wall: float | None = None

    def add_phase(self, record: Json) -> None:
        """Take in the begin or the end of a phase."""
        name, t = record["phase"], record["t"]
        if record["edge"] == "end":
            self._phases.setdefault(name, [None, None])[1] = t
            return
        # An author's test may inject more than once: a phase that begins again begins a new round,
        # and what came after it belongs to the one before.
        for later in PHASES[PHASES.index(name) :]:
            self._phases.pop(later, None)
        self._phases[name] = [t, None]
        if name == "inject":
            self._injected_wall = record.get("wall")

    def phase(self, name: str) -> Window | None:
        """The window of a phase, None if it has not begun."""
        begin, end = self._phases.get(name, (None, None))
        return None if begin is None else Window(begin, end)

    def span(self, first: str, last: str) -> Window | None:
        """From the begin of phase `first` to the end of phase `last`."""
        begin, end = self.phase(first), self.phase(last)
        if begin is None:
            return None
        return Window(begin.begin, end.end if end is not None else None)

    @property
    def injected_at(self) -> int | None:
        """When injection began, in monotonic nanoseconds."""
        window = self.phase("inject")
        return window.begin if window else None

    @property
    def before(self) -> Window | None:
        """From the begin of the control run to the injection: what happens then is no fault's."""
        control = self.phase("control")
        return None if control is None else Window(control.begin, self.injected_at)

    @property
    def watched(self) -> Window | None:
        """From injection until the subject is taken away: what happens then proves nothing."""
        begin, recover, remove = self.injected_at, self.phase("recover"), self.phase("remove")
        if begin is None:
            return None
        if recover is not None and recover.end is not None:
            return Window(begin, recover.end)
        return Window(begin, remove.begin if remove else None)

    @property
    def healed_at(self) -> int | None:
        """When the last fault was healed."""
        window = self.phase("heal")
        return window.end if window else None

    def predates(self, own: float | None) -> bool:
        """True if an object's own time (Unix, whole seconds) lies before the injection."""
        wall = self._injected_wall
        return own is not None and wall is not None and own + 1 <= wall

    def moment(self, t: int, own: float | None) -> int:
        """When something happened that was observed at `t`: then, as far as anybody knows.

        What is told after the injection, and by its own time was before it, is moved there.
        """
        injected, wall = self.injected_at, self._injected_wall
        if own is None or injected is None or wall is None or not self.predates(own):
            return t
        return min(t, injected - int((wall - own) * SECOND))
