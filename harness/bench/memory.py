"""Memory of a running cluster, and of the harness while it runs a trial.

`python -m harness.bench.memory` prints what each node's container and the registry use now, in MiB,
by the engine's own accounting, and the peak of the process that carried out a trial and of its load
generator, from the newest run folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from harness.host.engine import ensure_engine

_RUNS = Path("harness-runs")


def main() -> int:
    """Print one line per container and process."""
    engine = ensure_engine()
    listed = engine.docker("stats", "--no-stream", "--format", "{{.Name}}\t{{.MemUsage}}")
    for line in sorted(listed.splitlines()):
        name, used = line.split("\t")
        sys.stdout.write(f"{name:40} {used.split(' / ')[0]}\n")
    runs = sorted(_RUNS.glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    if runs:
        peak = orjson.loads(runs[-1].read_bytes()).get("peak_memory_bytes") or {}
        for name, size in peak.items():
            sys.stdout.write(f"{f'peak of {name} in {runs[-1].parent.name}':40} {size >> 20} MiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
