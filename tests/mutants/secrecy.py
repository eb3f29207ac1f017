"""Mutants of what is written down: a secret would stand in a run folder or in a ledger."""

from __future__ import annotations

from mutants import Mutant

FOLDER = ("tests/unit/test_no_secret_in_a_folder.py",)
RULE = ("tests/unit/test_redaction.py",)

SECRECY = (
    Mutant(
        "a history holds what was seen",
        "harness/history/writer.py",
        "**redacted(data)",
        "**data",
        FOLDER,
    ),
    Mutant(
        "documents hold what they are given",
        "harness/host/files.py",
        "orjson.dumps(redacted(data), ",
        "orjson.dumps(data, ",
        FOLDER,
    ),
    Mutant(
        "an error quotes everything",
        "harness/errors.py",
        "redacted(message)",
        "message",
        FOLDER,
    ),
    Mutant(
        "run folders are open to others",
        "harness/host/files.py",
        "each.chmod(0o700)",
        "each.chmod(0o755)",
        FOLDER,
    ),
    Mutant(
        "what was hidden is told elsewhere",
        "harness/redaction.py",
        "text = text.replace(value, self._mark(value))",
        "text = text.replace(value, value)",
        RULE,
    ),
    Mutant(
        "variants differ by the trial's id",
        "harness/redaction.py",
        'data = data.replace(self._aside, b"")',
        "data = bytes(data)",
        RULE,
    ),
    Mutant(
        "a variable that was added stays",
        "harness/faults/rollouts.py",
        '"$patch": "delete"}',
        '"value": ""}',
        FOLDER,
    ),
)
