"""`make mutants`: every mutant of the core must be killed by the tests that it names.

A mutant is one small defect in one file, such as a check that says yes to all. Each is applied to a
copy of the checked-out tree, and its tests are run there, without a cluster. The table says which
lived; the exit code is 1 if any did. Names on the command line choose mutants by their beginning.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from judgement import JUDGEMENT
from mutants import Mutant
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from secrecy import SECRECY
from undoing import UNDOING

ROOT = Path(__file__).parents[2]
MUTANTS: tuple[Mutant, ...] = (*JUDGEMENT, *UNDOING, *SECRECY)
_WORKED, _TESTS_FAILED = 0, 1
_LONGEST_S = 300.0


def main(names: list[str]) -> int:
    """Try the mutants and print the score; returns the exit code."""
    chosen = [m for m in MUTANTS if not names or any(m.name.startswith(n) for n in names)]
    table = Table("mutant", "file", "", "s", title="Mutants")
    alive = 0
    with tempfile.TemporaryDirectory() as folder, Progress(transient=True) as progress:
        tree = Path(folder) / "tree"
        _copy(tree)
        for mutant in progress.track(chosen, description="mutants"):
            begin = time.monotonic()
            killed = _killed(mutant, tree)
            alive += not killed
            word = "killed" if killed else "[red]ALIVE[/red]"
            table.add_row(mutant.name, mutant.file, word, f"{time.monotonic() - begin:.0f}")
    console = Console()
    console.print(table)
    console.print(f"{len(chosen) - alive} of {len(chosen)} mutants killed")
    return int(alive > 0)


def _copy(tree: Path) -> None:
    """The files that git knows or would add, as they are in the working tree."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def _killed(mutant: Mutant, tree: Path) -> bool:
    """Apply, test, take back. Raises if the tests could not run: that proves nothing."""
    file = tree / mutant.file
    text = file.read_text()
    file.write_text(mutant.apply(text))
    # A mutant may make something wait for ever: that is noticed, too.
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        file.write_text(text)
    if done.returncode not in (_WORKED, _TESTS_FAILED):
        raise SystemExit(f"{mutant.name}: its tests could not run\n{done.stdout}{done.stderr}")
    return done.returncode == _TESTS_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
