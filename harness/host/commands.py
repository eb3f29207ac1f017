"""Short commands whose output is wanted.

Those that may be cancelled: `harness.host.processes`; long ones with a log:
`harness.host.progress.Step.run`.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HostError
from harness.host.joined import joined

TIMED_OUT = 124
NOT_THERE = 127


class CommandError(HostError):
    """A command could not be started or failed; `code` is its exit code, or one of the above."""

    def __init__(self, words: Sequence[str], code: int, stderr: str, *, remedy: str) -> None:
        shown = " ".join(words)
        super().__init__(f"`{shown}` left with code {code}: {stderr.strip()}", remedy=remedy)
        self.code = code
        self.stderr = stderr


def output(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = 120,
    check: bool = True,
) -> str:
    """The standard output of a command, without trailing whitespace.

    With `check=False` a failing command gives what it wrote; one that is not there still raises.
    `timeout` is in seconds. Raises `CommandError`.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            env=None if env is None else dict(env),
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandError(words, NOT_THERE, "not found", remedy=f"install {words[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            words,
            TIMED_OUT,
            f"no end after {timeout} s",
            remedy="see why it hangs, then run it again",
        ) from error
    if check and done.returncode != 0:
        raise CommandError(
            words, done.returncode, done.stderr, remedy="run it by hand and mend what it names"
        )
    return done.stdout.rstrip()


async def aoutput(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = 120,
    check: bool = True,
) -> str:
    """`output` for coroutines: the command runs in a thread, the loop goes on."""
    return await joined(
        asyncio.to_thread(output, argv, env=env, cwd=cwd, stdin=stdin, timeout=timeout, check=check)
    )
