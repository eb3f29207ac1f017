"""`make trust`: SIGKILL at random moments, on a real cluster; nothing may be left behind.

Each victim (a scenario's trials, `harness up`, the installation of an add-on) is killed somewhere
in its life. What a user would do next follows, `harness heal` or the same command again, and then
an oracle that shares no code with the harness compares the machine and the cluster with what they
were. In the environment: `KILLS` (20), `SEED` (new), `CLUSTER` (trust), `SHAPE` (workers); on the
command line victims, by the beginning of their names. Exits with 1 for any residue, and for a heal
that failed.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from oracle import Oracle, difference
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from victims import HARNESS, Victim, victims

from harness import paths
from harness.host.engine import ensure_engine

RESULTS = Path("harness-runs") / "trust.json"
_HEAL_S = 900.0


@dataclass(frozen=True)
class Kill:
    """One death: in which step it struck, after how long, what followed and what was left."""

    victim: str
    step: str
    at_seconds: float
    heal_seconds: float
    heal_code: int
    residue: Sequence[str]

    @property
    def clean(self) -> bool:
        """Whether it was all undone, and whoever undid it says so, too."""
        return self.heal_code == 0 and not self.residue


def main(names: Sequence[str]) -> int:
    """Kill, heal, look; returns the exit code."""
    wanted = int(os.environ.get("KILLS") or 20)
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    cluster, shape = os.environ.get("CLUSTER") or "trust", os.environ.get("SHAPE") or "workers"
    console, chance = Console(), random.Random(seed)
    console.print(f"{wanted} kills on cluster {cluster}, SEED={seed}")
    oracle = Oracle(cluster, ensure_engine().env, paths.ledgers())
    kills: list[Kill] = []
    with tempfile.TemporaryDirectory() as folder, Progress(transient=True) as progress:
        subprocess.run([*HARNESS, "up", "-c", cluster, "--shape", shape], check=True)
        task = progress.add_task("kills", total=wanted)
        for number in itertools.count():
            if len(kills) == wanted:
                break
            own = Path(folder) / str(number)
            own.mkdir()
            found = victims(cluster, own)
            chosen = [v for v in found if not names or any(v.name.startswith(n) for n in names)]
            kill = _kill(chance.choice(chosen), chance, oracle, own)
            if kill is not None:
                kills.append(kill)
                progress.advance(task)
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"seed": seed, "cluster": cluster, "kills": [asdict(kill) for kill in kills]}
    RESULTS.write_text(json.dumps(told, indent=1))
    _show(console, kills)
    return int(not all(kill.clean for kill in kills))


def _kill(victim: Victim, chance: random.Random, oracle: Oracle, folder: Path) -> Kill | None:
    """One death and what follows; None if the victim came to its end before."""
    mark, log = uuid.uuid4().hex, folder / "log"
    before = oracle.cluster() | oracle.containers()
    with log.open("wb") as out:
        process = subprocess.Popen(
            victim.words, env={**os.environ, "TRUST_MARK": mark}, stdout=out, stderr=out
        )
        begin = time.monotonic()
        try:
            process.wait(chance.uniform(0.5, victim.longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        lasted = time.monotonic() - begin
        killed = process.wait() == -signal.SIGKILL
    step = _step(folder / victim.name, log)
    begin = time.monotonic()
    healed = subprocess.run(victim.after, capture_output=True, timeout=_HEAL_S, check=False)
    heal_seconds = time.monotonic() - begin
    code = healed.returncode
    if victim.undo:
        code = code or subprocess.run(victim.undo, capture_output=True, check=False).returncode
    after = oracle.cluster() | oracle.containers()
    residue = [
        *difference(before, after),
        *sorted(oracle.alive(mark) | oracle.ledgers_of(process.pid)),
    ]
    kill = Kill(victim.name, step, round(lasted, 1), round(heal_seconds, 1), code, residue)
    return kill if killed or not kill.clean else None


def _step(run: Path, log: Path) -> str:
    """The phase that began last in a run's newest history; else the last line that was printed."""
    histories = sorted(run.glob("*/history.jsonl"), key=lambda path: path.stat().st_mtime)
    for path in reversed(histories):
        lines = [line for line in path.read_text().splitlines() if '"edge":"begin"' in line]
        if lines:
            return str(json.loads(lines[-1])["phase"])
    printed = log.read_text(errors="replace").split("\n")
    return next((line.strip()[:40] for line in reversed(printed) if line.strip()), "start")


def _show(console: Console, kills: Sequence[Kill]) -> None:
    table = Table("victim", "killed in", "after s", "heal s", "residue", title="Kills")
    for kill in kills:
        told = "\n".join(kill.residue) or ("none" if kill.clean else f"heal left {kill.heal_code}")
        table.add_row(
            kill.victim, kill.step, f"{kill.at_seconds:.0f}", f"{kill.heal_seconds:.0f}", told
        )
    console.print(table)
    dirty = sum(not kill.clean for kill in kills)
    slowest = max((kill.heal_seconds for kill in kills), default=0.0)
    console.print(f"{len(kills)} kills, {dirty} with residue, slowest heal {slowest:.0f} s")
    console.print(f"all of it: {RESULTS}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
