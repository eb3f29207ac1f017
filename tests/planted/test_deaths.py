"""Whatever ends the harness, and whenever: what it broke is healed, and nothing is left behind.

SIGKILL in each phase, then `harness heal` in another process; Ctrl-C and SIGTERM through the real
command; a ledger that cannot be written. The processes die side by side, on one cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil
import pytest
from trials import SUBJECT, connected_cluster

from harness import paths
from harness.history.facts import Json
from harness.history.records import PHASES
from harness.history.run_files import HISTORY_FILE
from harness.kube.client import Kube
from harness.kube.eventually import eventually
from harness.runs.options import Options
from harness.undo import baseline
from harness.undo.ledger import SUFFIX, pending

HERE = Path(__file__).parent
AT_ONCE = 3
PATIENCE_S = 240.0
"""Until a phase is reached, on a machine that is busy with the others."""


@dataclass(frozen=True)
class Dead:
    """A process that was ended in a phase: how it left, and what it had recorded."""

    asked: str
    code: int
    records: Sequence[Json]
    ledger: str

    @property
    def trial(self) -> str | None:
        """The trial's id, if it came so far as to record one."""
        return next((r["trial"] for r in self.records if r["type"] == "trial"), None)

    @property
    def last_phase(self) -> str:
        """The phase that began last."""
        return str([r["phase"] for r in self.records if r["type"] == "phase"][-1])


@dataclass(frozen=True)
class Deaths:
    """All that died, what healing said, and the cluster before and after."""

    by_name: dict[str, Dead]
    healing: subprocess.CompletedProcess[str]
    still_writing: Sequence[str]
    before: baseline.Snapshot
    after: baseline.Snapshot

    def left(self, dead: Dead) -> list[str]:
        """What a dead trial left on the cluster."""
        if dead.trial is None:
            return []
        scope = baseline.ResidueScope(trial=dead.trial, exclusive=False)
        found = [str(r) for r in baseline.compare(self.before, self.after, scope)]
        return found + [str(key) for key in self.after.objects if dead.trial in key[2] + key[3]]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(HERE), "NO_COLOR": "1"}


def records_of(folder: Path) -> list[Json]:
    """Whole lines of the history that a process writes in or below a folder."""
    for path in folder.rglob(HISTORY_FILE):
        lines = path.read_bytes().split(b"\n")[:-1]
        return [orjson.loads(line) for line in lines]
    return []


async def die(command: Sequence[str], folder: Path, phase: str, number: int) -> Dead:
    """Start, wait for a phase, send the signal, wait for the end."""
    log = folder.with_suffix(".log")
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=HERE, env=environment(), stdout=out, stderr=out
        )

    begun = f'"phase":"{phase}","edge":"begin"'.encode()

    def reached() -> bool:
        if process.returncode is not None:
            raise RuntimeError(f"ended by itself: {log.read_text()}")
        return any(begun in path.read_bytes() for path in folder.glob(f"*/{HISTORY_FILE}"))

    try:
        # Often, because some phases last a tenth of a second.
        await eventually(reached, within=PATIENCE_S, every=0.01, what=f"phase {phase}")
    finally:
        if process.returncode is None:
            process.send_signal(number)
    code = await process.wait()
    return Dead(phase, code, records_of(folder), str(process.pid))


async def everything(folder: Path) -> Deaths:
    """All deaths, `AT_ONCE` side by side, then `harness heal`."""
    turn = asyncio.Semaphore(AT_ONCE)
    dead: dict[str, Dead] = {}

    async def run(name: str, phase: str, number: int, command: Sequence[str]) -> None:
        async with turn:
            dead[name] = await die(command, folder / name.replace(" ", "-"), phase, number)

    async with connected_cluster(Options(), "single") as connections:
        before = await baseline.snapshot(connections.kube, connections.nodes)
        async with asyncio.TaskGroup() as group:
            for phase in reversed(PHASES):
                own = folder / phase.replace(" ", "-")
                command = [sys.executable, str(HERE / "trials.py"), str(own)]
                group.create_task(run(phase, phase, signal.SIGKILL, command))
            for number in (signal.SIGINT, signal.SIGTERM):
                command = [*HARNESS_RUN, "--output", str(folder / number.name)]
                group.create_task(run(number.name, "sustain", number, command))
        healing = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "harness.cli", "heal"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        after = await baseline.snapshot(connections.kube, connections.nodes)
    return Deaths(dead, healing, writers(folder), before, after)


def writers(folder: Path) -> list[str]:
    """Processes that hold a file below a folder open: generators that outlived their harness."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if any(Path(file.path).is_relative_to(folder) for file in process.open_files()):
                found.append(str(process))
    return found


HARNESS_RUN = [
    *(sys.executable, "-m", "harness.cli", "run", "liveness-checks-database"),
    *("--subject", str(SUBJECT), "--variant", "as-given"),
]


@pytest.fixture(scope="module")
def deaths(tmp_path_factory: pytest.TempPathFactory) -> Deaths:
    """Everything that died in this module."""
    return asyncio.run(everything(tmp_path_factory.mktemp("deaths")))


@pytest.mark.parametrize("phase", PHASES)
def test_killed_in_each_phase(deaths: Deaths, phase: str) -> None:
    dead = deaths.by_name[phase]
    assert dead.code == -signal.SIGKILL
    # The signal takes a moment: a phase of a tenth of a second may be over.
    near = PHASES[PHASES.index(phase) : PHASES.index(phase) + 2]
    assert dead.last_phase in near
    assert dead.trial is not None or phase == "preflight"
    assert deaths.left(dead) == []


def test_healing_ended_well(deaths: Deaths) -> None:
    assert deaths.healing.returncode == 0, deaths.healing.stdout + deaths.healing.stderr
    trials = {dead.trial for dead in deaths.by_name.values() if dead.trial}
    assert [r for r in pending() if r.trial in trials] == []
    assert deaths.still_writing == []


def test_dead_had_something_to_heal(deaths: Deaths) -> None:
    """Else the tests above would prove nothing: objects, and a fault that was felt."""
    recorded = {name: {r["type"] for r in dead.records} for name, dead in deaths.by_name.items()}
    for phase in ("control", "felt", "sustain"):
        assert "object" in recorded[phase]
    felt = [r["felt"] for r in deaths.by_name["sustain"].records if r["type"] == "measurement"]
    assert felt[-1] is True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ended_by_hand_in_mid_fault(deaths: Deaths, number: signal.Signals, code: int) -> None:
    dead = deaths.by_name[number.name]
    assert dead.code == code
    undone = [r["text"] for r in dead.records if r["type"] == "fault" and r["step"] == "undone"]
    # By the process itself, the fault before what it stood on.
    assert undone[0].startswith("toxics"), undone
    assert any(text.startswith("namespace") for text in undone)
    ended = [r["phase"] for r in dead.records if r["type"] == "phase" and r["edge"] == "end"]
    assert ended[-1] == "remove"
    assert "recover" not in ended
    assert not list(paths.ledgers().glob(f"*-{dead.ledger}-*{SUFFIX}"))
    assert deaths.left(dead) == []


# A disk of one page, which is taken, over the folder of the ledgers; only this process sees it.
FULL = """
set -e
mount -t tmpfs -o size=4k,nr_inodes=64 none "$1"
head -c 4096 /dev/zero > "$1/filler"
shift
exec "$@"
"""


def test_ledger_on_a_full_disk(tmp_path: Path) -> None:
    ledgers = paths.ledgers()
    ledgers.mkdir(parents=True, exist_ok=True)
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "-Ur"]
    command = [*HARNESS_RUN, "--output", str(tmp_path / "run")]
    done = subprocess.run(
        [*alone, "sh", "-c", FULL, "sh", str(ledgers), *command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    # What the host spoiled is tried once more, and the disk is as full as before.
    trials = sorted(each.parent for each in (tmp_path / "run").glob("*/verdict.json"))
    assert [each.name.endswith("__alone") for each in trials] == [False, True]
    for trial in trials:
        result = orjson.loads((trial / "verdict.json").read_bytes())
        assert (result["verdict"], result["blame"]) == ("inconclusive", "host")
        assert "cannot write to the ledger" in result["deciding"]
        assert "nothing was changed" in result["deciding"]
        assert "Free disk space" in result["deciding"]
        records = records_of(trial)
        # Refused before any change: nothing of the trial was ever seen on the cluster.
        (namespace,) = next(r["namespaces"] for r in records if r["type"] == "trial").values()
        assert re.fullmatch(r"planted-[0-9a-f]{6}", namespace)
        assert not any(r.get("namespace") == namespace for r in records)
        assert asyncio.run(_find("Namespace", namespace)) is None


async def _find(kind: str, name: str) -> Json | None:
    async with connected_cluster(Options(), "single") as connections:
        kube: Kube = connections.kube
        return await kube.find("v1", kind, name)
