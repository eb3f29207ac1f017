"""The files of a run: `run.json` beside the trials' folders, and what it says of version and host.

Written whole or not at all, and read again by reports and `harness judge`. What happens in a run is
in `harness.runs.run`.
"""

from __future__ import annotations

import platform
import resource
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import orjson
import psutil

from harness import paths
from harness.errors import HistoryError
from harness.history.facts import Json
from harness.history.run_files import RUN_FILE, TRIAL_FILE
from harness.host.commands import output
from harness.host.files import write_json
from harness.judgement.verdict import Result, exit_code
from harness.runs.fitting import NotApplicable

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What `run.json` says beside the trials; `subject` None: sample subjects, by outcome.

    `complete`: nothing ended the run before its last trial. `tried_again`: trials, by folder, that
    were made in place of others, whose folders are kept.
    """

    started: float
    seed: int
    command: Sequence[str]
    subject: Path | None
    versions: Mapping[str, str]
    not_applicable: Sequence[NotApplicable] = ()
    residue: Sequence[str] = ()
    complete: bool = True
    tried_again: Mapping[str, str] = field(default_factory=dict)


def finish(
    folder: Path, trials: Sequence[str], results: Sequence[Result], summary: Summary
) -> None:
    """Write `run.json`, which makes the folder a run."""
    by_outcome = summary.subject is None
    document: Json = {
        "schema": SCHEMA,
        "id": folder.name,
        "started": summary.started,
        "ended": time.time(),
        "command": list(summary.command),
        "by": "outcome" if by_outcome else "verdict",
        "exit_code": exit_code(
            results,
            by_outcome=by_outcome,
            residue=bool(summary.residue) or not summary.complete,
        ),
        "complete": summary.complete,
        "subject": {"directory": str(summary.subject)} if summary.subject else None,
        "seed": summary.seed,
        "harness": harness_version(),
        "host": host_summary(),
        "versions": dict(summary.versions),
        "trials": list(trials),
        "tried_again": dict(summary.tried_again),
        "not_applicable": [asdict(n) for n in summary.not_applicable],
        "residue": list(summary.residue),
        "peak_memory_bytes": peak_memory(),
    }
    write_json(folder / RUN_FILE, document)


def read_run(folder: Path) -> Json:
    """`run.json` of a run folder. Raises HistoryError if it is not whole or of another schema."""
    path = folder / RUN_FILE
    try:
        document: Json = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise HistoryError(
            f"{path} is not JSON: {error}", remedy="restore it from a copy, or judge its trials"
        ) from error
    if document.get("schema") != SCHEMA:
        raise HistoryError(
            f"{path} has schema {document.get('schema')!r}, this harness reads {SCHEMA}",
            remedy="judge the run with the version that recorded it",
        )
    return document


def trial_folders(folder: Path) -> list[Path]:
    """The trials of a run folder, or the folder itself if it is one trial's."""
    if (folder / TRIAL_FILE).is_file():
        return [folder]
    if not (folder / RUN_FILE).is_file():
        raise HistoryError(
            f"{folder} is no run folder: it has neither {RUN_FILE} nor {TRIAL_FILE}",
            remedy="name a folder that `harness run` wrote",
        )
    return [folder / name for name in read_run(folder)["trials"]]


def new_folder() -> Path:
    """A new folder for a run, named by time and a random part."""
    stamp = datetime.now().astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    return Path("harness-runs") / f"{stamp}-{secrets.token_hex(2)}"


def harness_version() -> Json:
    """Version of the harness and, in a checkout, its git SHA and whether it was changed."""
    out: Json = {"version": version("resilience-harness"), "git": None, "dirty": None}
    root = paths.data("scenarios").parent
    if (root / ".git").exists():
        out["git"] = _git(root, "rev-parse", "HEAD")
        out["dirty"] = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    return out


def _git(root: Path, *args: str) -> str:
    return output(["git", "-C", root, *args], check=False)


def peak_memory() -> dict[str, int]:
    """Most resident bytes of this process, and of the largest of its ended children."""
    # Linux counts in KiB. The largest child of a run is its load generator.
    own, children = (
        resource.getrusage(who).ru_maxrss * 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {"harness": own, "load generator": children}


def host_summary() -> Json:
    """What a verdict's reader needs to know of the machine."""
    return {
        "system": platform.platform(),
        "kernel": platform.release(),
        "cpus": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "cgroup": "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1",
        "python": sys.version.split()[0],
    }
