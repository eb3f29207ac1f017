"""Child processes that end with the coroutine that waits for them.

For commands that may be cancelled (Ctrl-C, a timeout, a trial that ends). Each child leads a
process group of its own, so a Ctrl-C at the terminal reaches the harness alone, which then decides.
Short blocking commands go through `harness.host.commands`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.host.commands import NOT_THERE, TIMED_OUT, CommandError

_GRACE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A command that ended: its words, exit code and raw output."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output, decoded, without trailing whitespace."""
        return self.stdout.decode(errors="replace").rstrip()

    @property
    def error(self) -> str:
        """Standard error, decoded, without surrounding whitespace."""
        return self.stderr.decode(errors="replace").strip()

    def require(self, *, remedy: str = "run it by hand and mend what it names") -> Completed:
        """Itself when the code is 0; raises `CommandError` otherwise."""
        if self.code != 0:
            raise CommandError(self.argv, self.code, self.error or self.text, remedy=remedy)
        return self


async def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float = 120,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run to the end. `timeout` in seconds; raises `CommandError` (124) when it is over, and when
    the program is not there (127). A non-zero exit is returned, not raised."""
    words = tuple(str(word) for word in argv)
    async with _child(words, env=env, stdin=stdin is not None, pass_fds=pass_fds) as process:
        try:
            async with asyncio.timeout(timeout):
                stdout, stderr = await process.communicate(stdin)
        except TimeoutError as error:
            raise CommandError(
                words,
                TIMED_OUT,
                f"no end after {timeout:g} s",
                remedy="see why it hangs, then run it again",
            ) from error
        code = process.returncode
    if code is None:
        raise AssertionError("communicate returned before the child ended")
    return Completed(argv=words, code=code, stdout=stdout, stderr=stderr)


@asynccontextmanager
async def _child(
    words: tuple[str, ...],
    *,
    env: Mapping[str, str] | None,
    stdin: bool,
    pass_fds: Sequence[int],
) -> AsyncIterator[asyncio.subprocess.Process]:
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            env=None if env is None else dict(env),
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    except FileNotFoundError as error:
        raise CommandError(words, NOT_THERE, "not found", remedy=f"install {words[0]}") from error
    try:
        yield process
    finally:
        # Shielded: the one who cancels must not leave the child behind.
        if process.returncode is None:
            await asyncio.shield(_end(process))


async def _end(process: asyncio.subprocess.Process) -> None:
    for sig, patience in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, None)):
        # It may end between the check and the signal; wait() reaps it in any case.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sig)
        try:
            async with asyncio.timeout(patience):
                await process.wait()
                return
        except TimeoutError:
            continue
