"""The generator's process: takes its plan from stdin, sends until told to stop, records.

Started by `harness.load.generator`, never imported by it. Stdin is the leash: the line `stop`
ends the load in good order, and the end of the stream means that whoever started this process is
gone, whatever killed it, so nothing keeps sending to a cluster that nobody watches.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import gevent
import gevent.event
import gevent.os

from harness.load.closed_loop import ClosedLoop, LocustfileError
from harness.load.open_loop import OpenLoop
from harness.load.plan import (
    ERROR_PREFIX,
    EXIT_ERROR,
    EXIT_PARENT_GONE,
    EXIT_RECORDING,
    LoadPlan,
)
from harness.load.recorder import Recorder, RecordingError

# From the header to the first arrival: long enough that arrival 0 is not late already.
_LEAD_NS = 50_000_000
# Longer than the timeout of a request, so that it is the request that gives up.
_DRAIN_MARGIN_S = 1.0
_NICE = -5
_REALTIME_RATE = 1000.0


class _Loop(Protocol):
    """What `OpenLoop` and `ClosedLoop` have in common."""

    finished: gevent.event.AsyncResult[str]
    unfinished: int

    @property
    def stopped(self) -> int | None: ...
    def begin(self, started: int) -> None: ...
    def stop(self) -> None: ...
    def drain(self, seconds: float) -> None: ...
    def health(self) -> dict[str, int]: ...


def main() -> None:
    """Entry point of the child process; leaves with 0 or one of the exit codes of `plan`."""
    # Ctrl-C in a terminal reaches the whole process group, but only the harness knows the order
    # in which things end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    plan = LoadPlan.decode(_first_line())
    priority = _rise_above_the_cluster(plan)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        code = _run(plan, priority)
    except (RecordingError, LocustfileError) as error:
        code = EXIT_RECORDING if isinstance(error, RecordingError) else EXIT_ERROR
        # A disk that is full for the recording is full for the log: the exit code says it too.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{ERROR_PREFIX}{error}\n")
            sys.stderr.flush()
    # Not sys.exit: threads and greenlets of a user's locustfile must not keep the process alive.
    os._exit(code)


def _run(plan: LoadPlan, priority: str) -> int:
    recorder = Recorder(plan.requests, flush_s=plan.flush_s, record=plan.record)
    loop: _Loop = ClosedLoop(plan, recorder) if plan.locustfile else OpenLoop(plan, recorder)
    # What was imported lives until the end: a collector that walks it again and again would hold
    # requests up by tens of milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    started = time.monotonic_ns() + _LEAD_NS
    recorder.head(_header(plan, started, priority))
    flusher = gevent.spawn(recorder.flush_forever, loop.health)
    for greenlet in (
        flusher,
        gevent.spawn(_obey, loop.finished),
        gevent.spawn(_watch_parent, os.getppid(), loop.finished),
    ):
        greenlet.link_exception(partial(_pass_on, loop.finished))
    loop.begin(started)
    reason = loop.finished.get()
    loop.stop()
    loop.drain(0.0 if reason == "parent gone" else plan.timeout_s + _DRAIN_MARGIN_S)
    flusher.kill()
    recorder.flush(loop.health())
    recorder.finish({"stopped": loop.stopped, "reason": reason, "unfinished": loop.unfinished})
    return EXIT_PARENT_GONE if reason == "parent gone" else 0


def _pass_on(finished: gevent.event.AsyncResult[str], dead: gevent.Greenlet[..., Any]) -> None:
    assert dead.exception is not None
    finished.set_exception(dead.exception)


def _header(plan: LoadPlan, started: int, priority: str) -> dict[str, Any]:
    closed = plan.locustfile is not None
    return {
        "started": started,
        "wall": time.time() + (started - time.monotonic_ns()) / 1e9,
        "endpoints": [] if closed else [e.label for e in plan.endpoints],
        "weights": [] if closed else [e.weight for e in plan.endpoints],
        "rate": plan.rate,
        "arrivals": plan.arrivals,
        "seed": plan.seed,
        "open_loop": not closed,
        "locustfile": plan.locustfile,
        "timeout_s": plan.timeout_s,
        "duration_s": plan.duration_s,
        "priority": priority,
        "pid": os.getpid(),
    }


def _first_line() -> bytes:
    """The plan; read byte by byte, so that a `stop` right behind it is left for `_obey`."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(EXIT_PARENT_GONE)
        line += byte
    return line


def _obey(finished: gevent.event.AsyncResult[str]) -> None:
    gevent.os.make_nonblocking(0)
    heard = b""
    while b"stop\n" not in heard:
        data = gevent.os.nb_read(0, 64)
        if not data:
            finished.set("parent gone")
            return
        heard += data
    finished.set("stopped")


def _watch_parent(parent: int, finished: gevent.event.AsyncResult[str]) -> None:
    """The second leash: another child of a dead parent can hold our stdin open."""
    while os.getppid() == parent:
        gevent.sleep(0.5)
    finished.set("parent gone")


def _rise_above_the_cluster(plan: LoadPlan) -> str:
    """Go first where we may; gives the priority that holds, for the recording.

    The nodes run on the same few cores and a fault may keep them all busy: a generator that waits
    in their queue measures the queue. Measured on 2 cores with a load of 14, at 40 requests/s: lag
    p99 11-19 ms as an ordinary process, 9-12 ms at nice -5, 1.4-2 ms under SCHED_RR. At such rates
    it runs for a twentieth of the time and takes nothing that the cluster would miss; above
    `_REALTIME_RATE`, and with the code of a user's locustfile, it might, and gets niceness only.
    """
    if plan.locustfile is None and plan.rate <= _REALTIME_RATE:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            return "SCHED_RR"
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        # Where the kernel groups tasks by session, nice counts within the session only, and the
        # session has a nice value of its own.
        group = Path("/proc/self/autogroup")
        if group.exists():
            group.write_text(str(_NICE))
    return f"nice {os.getpriority(os.PRIO_PROCESS, 0)}"
