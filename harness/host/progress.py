"""Progress of set-up: one line for each step, with its seconds, and the log behind a failure.

Set-up is the only part of the harness that a person waits for without a verdict in sight, so each
step says what it does while it does it. On a terminal the running steps spin; elsewhere (CI) each
step is a plain line, and a long one reports in between. The console of trials lives in
`harness.report`, not here.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from harness.errors import HostError
from harness.redaction import redacted

_HEARTBEAT_SECONDS = 20.0
_TAIL_LINES = 15


@dataclass(kw_only=True)
class Step:
    """One running step. `note` becomes part of its line; `log` is where its commands write."""

    name: str
    log: Path | None = None
    note: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str | None = None,
        remedy: str | None = None,
    ) -> None:
        """Run one command with its output appended to the step's log.

        Raises `HostError` with the log's name and last lines when the command cannot be started
        or leaves with a non-zero code.
        """
        if self.log is None:
            raise AssertionError(f"step {self.name!r} runs a command but has no log")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        words = [str(word) for word in argv]
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(redacted(words))}\n".encode())
            log.flush()
            try:
                done = subprocess.run(
                    words,
                    env=None if env is None else dict(env),
                    cwd=cwd,
                    input=None if stdin is None else stdin.encode(),
                    stdin=subprocess.DEVNULL if stdin is None else None,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            except FileNotFoundError as error:
                if cwd is not None and not cwd.is_dir():
                    raise
                raise HostError(
                    f"{self.name}: the program {words[0]!r} is not there",
                    remedy=remedy or f"install {words[0]}",
                ) from error
        if done.returncode != 0:
            raise HostError(
                f"{self.name}: `{_short(words)}` left with code {done.returncode}; "
                f"the end of {self.log}:\n{tail(self.log)}",
                remedy=remedy or f"read {self.log}, mend the cause, run the same command again",
            )


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, indented; an explanation when there is none."""
    if not log.exists():
        return "    (no log was written)"
    text = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in text) or "    (the log is empty)"


class Reporter:
    """Prints steps to one console; safe to use from several threads at once."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._running: list[Step] = []
        self._lock = threading.Lock()
        self._live: Live | None = None

    @contextmanager
    def step(self, name: str, *, log: Path | None = None) -> Iterator[Step]:
        """Show `name` while the body runs, then its line: seconds, note, or that it failed."""
        step = Step(name=name, log=log)
        self._begin(step)
        stop = threading.Event()
        if not self.console.is_terminal:
            threading.Thread(target=self._heartbeat, args=(step, stop), daemon=True).start()
        try:
            yield step
        except BaseException:
            stop.set()
            self._end(step, failed=True)
            raise
        stop.set()
        self._end(step, failed=False)

    def say(self, text: str) -> None:
        """One plain line between the steps."""
        self.console.print(Text(text), soft_wrap=True)

    def _begin(self, step: Step) -> None:
        with self._lock:
            self._running.append(step)
            if self._live is None and self.console.is_terminal:
                self._live = Live(
                    get_renderable=self._render,
                    console=self.console,
                    transient=True,
                    refresh_per_second=8,
                )
                self._live.start()

    def _end(self, step: Step, *, failed: bool) -> None:
        with self._lock:
            self._running.remove(step)
            self.console.print(line(step, failed=failed), soft_wrap=True)
            if not self._running and self._live is not None:
                self._live.stop()
                self._live = None

    def _render(self) -> Group:
        return Group(
            *(
                Spinner("dots", Text(f"{step.name} ... {step.seconds:.0f} s {step.note}"))
                for step in list(self._running)
            )
        )

    def _heartbeat(self, step: Step, stop: threading.Event) -> None:
        while not stop.wait(_HEARTBEAT_SECONDS):
            self.console.print(
                Text(f"  …     {step.name}: running, {step.seconds:.0f} s"), soft_wrap=True
            )


def line(step: Step, *, failed: bool) -> Text:
    """The line that a finished step leaves behind."""
    mark, style = ("FAILED", "red") if failed else ("ok    ", "green")
    text = Text("  ")
    text.append(mark, style=style)
    text.append(f" {step.name}: {step.seconds:.1f} s")
    if step.note:
        text.append(f" ({step.note})", style="dim")
    return text


_reporter: Reporter | None = None
_reporter_lock = threading.Lock()


def reporter() -> Reporter:
    """The process-wide reporter, on stderr."""
    global _reporter
    with _reporter_lock:
        if _reporter is None:
            _reporter = Reporter()
        return _reporter


@contextmanager
def step(name: str, *, log: Path | None = None) -> Iterator[Step]:
    """A step of the process-wide reporter: `with step("kind", log=...) as s: s.run(...)`."""
    with reporter().step(name, log=log) as running:
        yield running


def lower_priority(argv: Sequence[str | Path]) -> list[str]:
    """`argv` under `nice`, so that a long build does not starve what runs beside it."""
    return ["nice", "-n", "10", *(str(word) for word in argv)]


def _short(words: Sequence[str], limit: int = 160) -> str:
    text = " ".join(words)
    return text if len(text) <= limit else text[: limit - 1] + "…"
