"""A user's own locustfile: its users decide when they ask, we write down what Locust tells.

Runs inside the generator's process. Such a load is closed: a user that waits for an answer sends
nothing meanwhile, so the intended start is the actual one and a stall hides the requests that it
prevented. The recording says so and the report repeats it.
"""

from __future__ import annotations

import ipaddress
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import locust
from locust.env import Environment
from locust.runners import LocalRunner
from locust.util.load_locustfile import load_locustfile

from harness.history import outcomes
from harness.load.open_loop import outcome_of
from harness.load.plan import LOOPBACK, LoadPlan
from harness.load.recorder import Recorder


class LocustfileError(Exception):
    """The locustfile cannot be used; the message names it and says why."""


class ClosedLoop:
    """Runs the users of `plan.locustfile` (`plan.rate` of them, or as its own shape class says)."""

    def __init__(self, plan: LoadPlan, recorder: Recorder) -> None:
        self.plan = plan
        self.recorder = recorder
        self.finished: gevent.event.AsyncResult[str] = gevent.event.AsyncResult()
        self.stopped: int | None = None
        self.unfinished = 0
        self._sent = 0
        self._indexes: dict[str, int] = {}
        assert plan.locustfile is not None
        users, shapes = _load(Path(plan.locustfile))
        _stay_on_this_machine()
        self._shape = shapes[0] if shapes else None
        self.environment = Environment(
            user_classes=list(users.values()),
            shape_class=self._shape,
            events=locust.events,
            host=f"http://{plan.authority}",
        )
        self.runner: LocalRunner = self.environment.create_local_runner()
        event: Any = self.environment.events.request
        event.add_listener(self._on_request)

    def begin(self, started: int) -> None:
        """Start the users; `started` is only written down, users keep their own time."""
        if self.plan.duration_s is not None:
            gevent.spawn_later(self.plan.duration_s, self.finished.set, "over")
        if self._shape is not None:
            self.runner.start_shape()
        else:
            users = max(1, round(self.plan.rate))
            self.runner.start(users, spawn_rate=users)

    def stop(self) -> None:
        """No new requests are counted from now on."""
        self.stopped = time.monotonic_ns()

    def drain(self, seconds: float) -> None:
        """Let the users end what they are at, at most so long."""
        self.environment.stop_timeout = seconds
        self.runner.quit()

    def health(self) -> dict[str, int]:
        """Nothing is scheduled ahead, so what was sent is what there was to send."""
        return {
            "at": time.monotonic_ns(),
            "scheduled": self._sent,
            "sent": self._sent,
            "users": self.runner.user_count,
        }

    def _on_request(
        self,
        request_type: str,
        name: str,
        response_time: float,
        response: Any = None,
        exception: BaseException | None = None,
        **_more: Any,
    ) -> None:
        end = time.monotonic_ns()
        start = end - int(response_time * 1e6)
        label = f"{request_type} {name}"
        index = self._indexes.get(label)
        if index is None:
            index = self._indexes[label] = len(self._indexes)
            self.recorder.endpoint(label)
        self._sent += 1
        self.recorder.add(start, start, end, index, _outcome(response, exception))


def _load(path: Path) -> tuple[dict[str, Any], list[Any]]:
    try:
        users, shapes = load_locustfile(str(path))
    except (Exception, SystemExit) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        where = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = f", line {where[-1].lineno}" if where else ""
        raise LocustfileError(f"the locustfile {path} fails{line}: {told}") from error
    if not users:
        raise LocustfileError(f"the locustfile {path} defines no Locust user class")
    return users, shapes


def _stay_on_this_machine() -> None:
    """Refuse connections to other machines, whatever address the locustfile's tasks name."""

    def guard(event: str, args: tuple[Any, ...]) -> None:
        if event != "socket.connect" or not isinstance(args[1], tuple):
            return
        host = str(args[1][0])
        if host not in LOOPBACK and not ipaddress.ip_address(host).is_loopback:
            raise PermissionError(f"load is sent to 127.0.0.1 only, not to {host}")

    sys.addaudithook(guard)


def _outcome(response: Any, exception: BaseException | None) -> int:
    status = int(getattr(response, "status_code", 0) or 0)
    good = 200 <= status < 400
    if exception is None:
        return status if good else outcomes.ACCEPTED
    if status:
        return outcomes.REJECTED if good else status
    causes = list(_causes(exception))
    # Timeouts and lost connections have a class of their own in each HTTP library; what they wrap
    # says more, where they wrap anything.
    for cause in causes:
        if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
            return outcomes.TIMEOUT
        if isinstance(cause, OSError) and cause.errno is not None:
            return outcome_of(cause)
    if any("Closed" in type(c).__name__ or "Disconnected" in type(c).__name__ for c in causes):
        return outcomes.CLOSED
    return outcomes.OTHER


def _causes(exception: BaseException) -> Iterator[BaseException]:
    """The exception and all that it wraps, as cause, as argument or as urllib3's `reason`."""
    seen: set[int] = set()
    left = [exception]
    while left:
        error = left.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        inner = [error.__cause__, error.__context__, getattr(error, "reason", None), *error.args]
        left += [e for e in inner if isinstance(e, BaseException)]
