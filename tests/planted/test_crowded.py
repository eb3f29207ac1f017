"""A machine that others have taken: what breaks then is not laid at the configuration's door."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from trials import carry_out, connected_cluster

from harness.runs.options import Options, Quiet, TrialEnd

BURNERS = 4
"""Two for each of two cores; on more cores there have to be more."""
BOUND_S = 180


@contextmanager
def burning() -> Iterator[None]:
    """Processes that only compute, and are nobody's children; they end by themselves, too."""
    count = max(BURNERS, 2 * (os.cpu_count() or 1))
    burn = f"timeout {BOUND_S} sh -c 'while :; do :; done' >/dev/null 2>&1 & echo $!"
    script = f"for _ in $(seq {count}); do {burn}; done"
    started = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    try:
        yield
    finally:
        for pid in map(int, started.stdout.split()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


class Crowd(Quiet):
    """Takes the machine when the control run begins, until the fault is healed."""

    def __init__(self, until_over: ExitStack) -> None:
        self._until_over = until_over

    def phase(self, trial: str, name: str) -> None:
        """Begin and end."""
        if name == "control":
            self._until_over.enter_context(burning())
        if name == "recover":
            self._until_over.close()


async def crowded(folder: Path) -> TrialEnd:
    async with connected_cluster(Options(), "single") as connections:
        with ExitStack() as until_over:
            return await carry_out(
                connections,
                folder,
                name="crowded",
                # Fails by itself: what it comes to here is decided by the crowd alone.
                component="liveness-asks-database",
                control="25s",
                listener=Crowd(until_over),
            )


def test_what_breaks_on_a_machine_that_others_have_is_inconclusive(tmp_path: Path) -> None:
    end = asyncio.run(crowded(tmp_path))
    assert (end.result.verdict, end.result.blame) == ("inconclusive", "host"), end.result.reasons
    assert "the machine was taken: others had" in end.result.deciding
    # What broke is told all the same.
    assert "replicas restarted by liveness" in end.result.reasons[1]
