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
from harness.load.plan import Plan
from harness.load.recorder import Recorder, RecordingError

ERROR_PREFIX = "load error: "
EXIT_ERROR = 3
EXIT_PARENT_GONE = 4

# From the header to the first arrival: long enough that arrival 0 is not late already.
_LEAD_NS = 50_000_000
# Longer than the timeout of a request, so that it is the request that gives up.
_DRAIN_MARGIN_S = 1.0
_NICE = -5


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
    """Entry point of the child process; leaves with 0, EXIT_ERROR or EXIT_PARENT_GONE."""
    # Ctrl-C in a terminal reaches the whole process group, but only the harness knows the order
    # in which things end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    plan = Plan.decode(_first_line())
    nice = _rise_above_the_cluster()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        code = _run(plan, nice)
    except (RecordingError, LocustfileError) as error:
        sys.stderr.write(f"{ERROR_PREFIX}{error}\n")
        code = EXIT_ERROR
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: threads and greenlets of a user's locustfile must not keep the process alive.
    os._exit(code)


def _run(plan: Plan, nice: int) -> int:
    recorder = Recorder(plan.requests, flush_s=plan.flush_s, record=plan.record)
    loop: _Loop = ClosedLoop(plan, recorder) if plan.locustfile else OpenLoop(plan, recorder)
    # What was imported lives until the end: a collector that walks it again and again would hold
    # requests up by tens of milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    started = time.monotonic_ns() + _LEAD_NS
    recorder.head(_header(plan, started, nice))
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


def _header(plan: Plan, started: int, nice: int) -> dict[str, Any]:
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
        "nice": nice,
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


def _rise_above_the_cluster() -> int:
    """A little priority, where we may have it; gives the nice value that holds.

    The nodes run on the same few cores and a fault may keep them all busy. A generator that waits
    in their queue would measure the queue. It is small and mostly asleep, so it takes nothing that
    the cluster would miss. Where the kernel groups tasks by session, nice counts only within the
    session, and the session has a nice value of its own.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        group = Path("/proc/self/autogroup")
        if group.exists():
            group.write_text(str(_NICE))
    return os.getpriority(os.PRIO_PROCESS, 0)
