"""Every error that a user can meet.

Each one says what is wrong and what to do about it. Internal contract violations are ordinary
`AssertionError` or `TypeError`; nothing in here is for control flow inside the harness.
"""

from __future__ import annotations

from harness.redaction import redacted


class HarnessError(Exception):
    """What is wrong, and the remedy.

    `str(error)` is the message followed by the remedy, so that a traceback, a pytest report and
    the command line all show both. `exit_code` is what the command line leaves with.
    """

    exit_code = 2

    def __init__(self, message: str, *, remedy: str) -> None:
        # Consoles, logs and run folders repeat it, and it may quote a command or an answer.
        self.message: str = redacted(message)
        super().__init__(self.message)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}"


class UsageError(HarnessError):
    """The command line, an option or a declaration says something that cannot be done."""


class ManifestError(HarnessError):
    """A manifest or a `harness.toml` cannot be used as it is."""


class HostError(HarnessError):
    """This machine lacks something: an engine, a kernel feature, memory, disk, a free port."""

    exit_code = 3


class ClusterError(HarnessError):
    """The cluster cannot be reached, is not ours, or answers with an error."""

    exit_code = 3


class ResidueError(HarnessError):
    """Something that a trial made or changed is still there after healing."""

    exit_code = 3


class FaultError(HarnessError):
    """A fault cannot be prepared, injected or healed, or was not felt."""

    exit_code = 3


class LoadError(HarnessError):
    """The load generator could not run as declared."""

    exit_code = 3


class Inconclusive(HarnessError):  # noqa: N818 - named as the verdict is
    """What happened says nothing about the configuration; the message says who is to blame."""

    exit_code = 3


class HistoryError(HarnessError):
    """A run folder or a history cannot be read."""


class WaitTimeout(ClusterError):  # noqa: N818 - a timeout, as asyncio's TimeoutError is
    """Something that was waited for did not come; the message tells what was seen instead."""
