"""Starts the load generator, follows what it writes, stops it: what a trial uses.

The generator is a process of its own (see `runner`). It is on a leash: leaving the `async with`
block in any way ends it, and so does the death of this process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.declare import Load
from harness.errors import LoadError
from harness.history.outcomes import GeneratorHealth, Percentiles
from harness.history.requests import Requests
from harness.history.requests_tail import RequestsTail
from harness.host.files import write_whole
from harness.host.progress import tail
from harness.load.plan import ERROR_PREFIX, EXIT_RECORDING, EndpointLike, LoadPlan, plan
from harness.redaction import redacted

# Locust is imported before the harness, as it asks for: it patches what others import.
_CHILD = "import locust; from harness.load.runner import main; main()"
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]

# Importing Locust takes about a second of CPU; a host that builds something beside us shares it.
_START_TIMEOUT_S = 60.0
_POLL_S = 0.02
_STOP_MARGIN_S = 10.0
_GONE_S = 3.0


@dataclass(frozen=True, kw_only=True)
class LoadSummary:
    """What a finished load did. `outcomes`: requests by outcome, most frequent first."""

    requests: int
    availability: float
    percentiles: Percentiles
    health: GeneratorHealth
    outcomes: dict[str, int]
    open_loop: bool
    seed: int
    seconds: float

    def describe(self) -> str:
        """One line for the console."""
        kind = "open-loop" if self.open_loop else "closed-loop (the user's own locustfile)"
        p = self.percentiles
        took = f"p50 {p.p50 * 1000:.0f} ms, p99 {p.p99 * 1000:.0f} ms, max {p.max * 1000:.0f} ms"
        return (
            f"{self.requests} requests in {self.seconds:.1f} s, {kind}, seed {self.seed}: "
            f"availability {self.availability:.2%}, {took if p.count else 'nothing answered'}"
        )


class Generator:
    """A running load; made by `Generator.start`.

    `requests_path` is being written while it runs; `log` holds what Locust has to say.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, plan: LoadPlan, log: Path, started: int
    ) -> None:
        self.plan = plan
        self.requests_path = plan.requests
        self.log = log
        self.started = started
        self._process = process
        self._tail = RequestsTail(plan.requests)

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        target_url: str,
        load: Load,
        requests_path: Path,
        seed: int,
        duration_limit: float | None = None,
        *,
        endpoints: Mapping[str, EndpointLike] | None = None,
        process: asyncio.subprocess.Process | None = None,
    ) -> AsyncIterator[Self]:
        """Load on `target_url` (http, this machine) until the block is left, or for seconds.

        The first request has been sent when the block is entered; whether it was answered is for
        the recording to say. `endpoints` are the subject's own (see `plan`), `process` is one that
        `getting_ready` began for the same recording.
        Raises LoadError if the generator cannot start, with the end of its log.
        """
        made = plan(
            target_url,
            load,
            requests=requests_path,
            seed=seed,
            endpoints=endpoints,
            duration_s=duration_limit,
        )
        async with cls.run(made, process) as generator:
            yield generator

    @classmethod
    @asynccontextmanager
    async def run(
        cls, plan: LoadPlan, process: asyncio.subprocess.Process | None = None
    ) -> AsyncIterator[Self]:
        """`start` for a plan that was made before."""
        if plan.requests.is_file() and plan.requests.stat().st_size:
            raise LoadError(
                f"{plan.requests} already holds a recording",
                remedy="give each load a file of its own",
            )
        async with AsyncExitStack() as stack:
            if process is None:
                process = await stack.enter_async_context(getting_ready(plan.requests))
            _send(process, plan.encode())
            generator = cls(process, plan, _log_of(plan.requests), time.monotonic_ns())
            await generator._first_request()
            yield generator
            if process.returncode is None:
                await generator.stop()

    @property
    def pid(self) -> int:
        """Process id of the generator."""
        return self._process.pid

    def requests(self) -> Requests:
        """Everything recorded so far (up to a quarter of a second ago)."""
        return self._tail.read()

    def check(self) -> None:
        """Raises LoadError if the generator has ended although nobody stopped it."""
        if self._process.returncode not in (None, 0):
            raise self._died("ended before it was told to")

    async def stop(self) -> LoadSummary:
        """No more arrivals, wait for what is in flight (at most the timeout), and sum up.

        May be called again. Raises LoadError if the generator failed or does not end.
        """
        _send(self._process, b"stop\n")
        try:
            await asyncio.wait_for(
                self._process.wait(), timeout=self.plan.timeout_s + _STOP_MARGIN_S
            )
        except TimeoutError:
            raise self._died("does not end") from None
        if self._process.returncode != 0:
            raise self._died("failed")
        return self._summary()

    def _summary(self) -> LoadSummary:
        requests = self.requests()
        header = requests.header
        assert header is not None
        ended = self._tail.ended or {}
        stopped = int(ended.get("stopped", header.started))
        return LoadSummary(
            requests=requests.scheduled,
            availability=requests.availability(),
            percentiles=requests.percentiles(),
            health=requests.generator_health(header.started, None),
            outcomes=requests.outcomes(),
            open_loop=header.open_loop,
            seed=header.seed,
            seconds=(stopped - header.started) / 1e9,
        )

    async def _first_request(self) -> None:
        """Wait until arrivals are being handled; a closed loop may take its time for the first."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            requests = self._tail.read()
            if requests.header is not None:
                sent = requests.dispatched is None or requests.dispatched > 0
                ran = requests.recorded_until != requests.header.started
                if sent or (ran and not requests.header.open_loop):
                    return
            if self._process.returncode is not None:
                raise self._died("could not start")
            await asyncio.sleep(_POLL_S)
        raise self._died(f"sent nothing within {_START_TIMEOUT_S:.0f} s")

    def _died(self, how: str) -> LoadError:
        code = self._process.returncode
        lines = self.log.read_text(errors="replace").splitlines()
        told = [line.removeprefix(ERROR_PREFIX) for line in lines if line.startswith(ERROR_PREFIX)]
        if code == EXIT_RECORDING:
            why = told[-1] if told else f"cannot write {self.requests_path}: no space, log included"
            return LoadError(
                why, remedy="free space where the run folder is, or choose another folder for it"
            )
        if told:
            return LoadError(
                told[-1],
                remedy="mend the locustfile: `locust -f <file> --list` shows the error too",
            )
        state = "" if code is None else f" ({_left_with(code)})"
        return LoadError(
            f"the load generator {how}{state}; the end of {self.log}:\n{tail(self.log)}",
            remedy=f"read {self.log}; `python -c 'import locust'` must work in this environment",
        )


@asynccontextmanager
async def getting_ready(requests: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A generator that imports what it needs (2 s of CPU) and waits for a plan that records into
    this file; ended with the block. Raises LoadError if it cannot be started."""
    log = _log_of(requests)
    process = await _spawn(log)
    try:
        yield process
    finally:
        await _end(process)
        _without_secrets(log)


def _log_of(requests: Path) -> Path:
    return requests.with_suffix(".log")


def _left_with(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _without_secrets(log: Path) -> None:
    """What the child wrote by itself; a locustfile of the user's may print anything."""
    text = log.read_text(errors="replace")
    if redacted(text) != text:
        write_whole(log, redacted(text).encode())


async def _spawn(log: Path) -> asyncio.subprocess.Process:
    path = os.pathsep.join(filter(None, (str(_PACKAGE_PARENT), os.environ.get("PYTHONPATH"))))
    try:
        with log.open("wb") as out:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _CHILD,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                # A group of its own: a Ctrl-C is for us, and we end the load when it is its turn.
                start_new_session=True,
            )
    except OSError as error:
        raise LoadError(
            f"the load generator cannot be started: {error}",
            remedy=f"make sure that {log.parent} exists and can be written",
        ) from error


def _send(process: asyncio.subprocess.Process, data: bytes) -> None:
    # A child that is already dead is found by its exit code, which says more than a broken pipe.
    if process.stdin is not None and not process.stdin.is_closing():
        process.stdin.write(data)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Whatever happened, nothing keeps sending: let go of the leash, kill what does not end."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), timeout=_GONE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
