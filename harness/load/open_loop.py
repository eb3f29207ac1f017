"""A Locust user that starts requests when they are due, whatever became of the earlier ones.

Runs inside the generator's process. One greenlet follows the schedule and starts a greenlet for
each arrival; a slow answer delays nothing but itself. Requests go over geventhttpclient's parser
and end in Locust's `request` event, so its statistics work as for any user.
"""

from __future__ import annotations

import errno
import time
from typing import Any, ClassVar

import gevent
import gevent.event
import locust
from gevent import socket
from geventhttpclient.response import HTTPParseError, HTTPResponse
from locust import User, task
from locust.env import Environment
from locust.exception import CatchResponseError, StopUser

from harness.history import outcomes
from harness.history.arrivals import SECOND, Due, Schedule
from harness.load.plan import LoadPlan
from harness.load.recorder import Recorder

_BLOCK = 512
_RECEIVE = 1 << 16
# Our own side ran out of something: the request never left, and the subject is not to blame.
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
_ERRORS = {
    errno.ECONNREFUSED: outcomes.REFUSED,
    errno.ECONNRESET: outcomes.RESET,
    errno.EPIPE: outcomes.RESET,
    errno.ETIMEDOUT: outcomes.TIMEOUT,
    errno.EHOSTUNREACH: outcomes.UNREACHABLE,
    errno.ENETUNREACH: outcomes.UNREACHABLE,
    **dict.fromkeys(_OURS, outcomes.NOT_SENT),
}


class OpenLoop:
    """Follows the schedule of a plan; `finished` gets "over" when its time has passed, or an error.

    `stopped` is the moment (monotonic ns) after which no arrival is due, None while there are some.
    """

    def __init__(self, plan: LoadPlan, recorder: Recorder) -> None:
        self.plan = plan
        self.recorder = recorder
        self.finished: gevent.event.AsyncResult[str] = gevent.event.AsyncResult()
        self.unfinished = 0
        weights = tuple(e.weight for e in plan.endpoints)
        self._schedule = Schedule(
            rate=plan.rate, arrivals=plan.arrivals, seed=plan.seed, weights=weights
        )
        self._due = Due(schedule=self._schedule, origin=0)
        self._handled = 0
        self._stopping = gevent.event.Event()
        self._idle = gevent.event.Event()
        self._idle.set()
        self._flights: dict[int, tuple[int, int, int, gevent.Greenlet[..., None]]] = {}
        self._family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
        host = "127.0.0.1" if plan.host == "localhost" else plan.host
        self._address = (host, plan.port)
        self._requests = [e.encode(plan.authority) for e in plan.endpoints]
        environment = Environment(
            user_classes=[_Follower], events=locust.events, host=f"http://{plan.authority}"
        )
        _Follower.loop = self
        self._locust = environment.create_local_runner()
        self._event: Any = environment.events.request

    @property
    def stopped(self) -> int | None:
        return self._due.stop

    def begin(self, started: int) -> None:
        """Let arrival 0 be due at `started` (monotonic ns)."""
        limit = self.plan.duration_s
        self._due.origin = started
        self._due.stop = None if limit is None else started + int(limit * SECOND)
        self._locust.start(1, spawn_rate=1)

    def run(self) -> None:
        """Start every arrival at its time; returns when stopped or when the plan's time is over."""
        for offsets, endpoints in self._schedule.blocks(_BLOCK):
            for offset, endpoint in zip(offsets.tolist(), endpoints.tolist(), strict=True):
                intended = self._due.origin + offset
                # Looked at again after each wait: a timer that was armed late in a busy loop
                # fires early, and nothing may start before it is due.
                while (ahead := intended - time.monotonic_ns()) > 0 and self._goes_on(intended):
                    self._stopping.wait(ahead / SECOND)
                if not self._goes_on(intended):
                    return
                self._start(intended, endpoint)

    def stop(self) -> None:
        """No arrivals from now on; those already due and not started are recorded as not sent."""
        now = time.monotonic_ns()
        if self._due.stop is None or now < self._due.stop:
            self._due.stop = now
        self._stopping.set()

    def drain(self, seconds: float) -> None:
        """Wait for what is in flight, at most so long, then record the rest as unfinished."""
        self._idle.wait(seconds)
        for intended, start, endpoint, greenlet in list(self._flights.values()):
            greenlet.kill(block=False)
            self._end(intended, start, endpoint, outcomes.UNFINISHED)
            self.unfinished += 1
        self._flights.clear()

    def health(self) -> dict[str, int]:
        """Arrivals due and handled so far, and requests in flight, at `at` (monotonic ns)."""
        now = time.monotonic_ns()
        return {
            "at": now,
            "scheduled": self._due.before(now),
            "sent": self._handled,
            "in_flight": len(self._flights),
        }

    def _goes_on(self, intended: int) -> bool:
        return self._due.stop is None or intended < self._due.stop

    def _start(self, intended: int, endpoint: int) -> None:
        number = self._handled
        self._handled += 1
        full = len(self._flights) >= self.plan.max_in_flight
        if full or self._stopping.is_set():
            now = time.monotonic_ns()
            outcome = outcomes.HELD_BACK if full else outcomes.NOT_SENT
            self.recorder.add(intended, now, now, endpoint, outcome)
            return
        self._idle.clear()
        greenlet = gevent.spawn(self._fly, number, intended, endpoint)
        self._flights[number] = (intended, intended, endpoint, greenlet)

    def _fly(self, number: int, intended: int, endpoint: int) -> None:
        start = time.monotonic_ns()
        self._flights[number] = (intended, start, endpoint, self._flights[number][3])
        status = self._exchange(self.plan.endpoints[endpoint].method, self._requests[endpoint])
        del self._flights[number]
        self._end(intended, start, endpoint, status)
        if not self._flights:
            self._idle.set()

    def _end(self, intended: int, start: int, endpoint: int, status: int) -> None:
        end = time.monotonic_ns()
        self.recorder.add(intended, start, end, endpoint, status)
        asked = self.plan.endpoints[endpoint]
        failed = None
        if not 200 <= status < 400:
            failed = CatchResponseError(outcomes.OUTCOMES.get(status, f"HTTP {status}"))
        self._event.fire(
            request_type=asked.method,
            name=asked.label,
            response_time=(end - intended) / 1e6,
            response_length=0,
            response=None,
            context={},
            exception=failed,
        )

    def _exchange(self, method: str, request: bytes) -> int:
        try:
            with (
                gevent.Timeout(self.plan.timeout_s),
                socket.socket(self._family, socket.SOCK_STREAM) as sock,
            ):
                return _talk(sock, self._address, request, method)
        except gevent.Timeout:
            return outcomes.TIMEOUT
        except OSError as error:
            return outcome_of(error)
        except HTTPParseError:
            return outcomes.BAD_RESPONSE


def outcome_of(error: OSError) -> int:
    """The outcome that an error of the connection stands for."""
    return _ERRORS.get(error.errno or 0, outcomes.OTHER)


def _talk(sock: Any, address: tuple[str, int], request: bytes, method: str) -> int:
    sock.connect(address)
    sock.sendall(request)
    response = HTTPResponse(method)
    while True:
        data = sock.recv(_RECEIVE)
        if not data and not response.message_begun:
            return outcomes.CLOSED
        try:
            # The end of the stream is news for the parser too: it may be what ends the message.
            response.feed(data)
        except HTTPParseError:
            if data:
                raise
            return outcomes.CLOSED
        # An interim answer (1xx) is followed by the one that counts.
        if response.message_complete and response.get_code() >= 200:
            return response.get_code()
        if not data:
            return outcomes.CLOSED


class _Follower(User):
    """The one Locust user of an open loop: its only task is to follow the schedule to its end."""

    fixed_count = 1
    loop: ClassVar[OpenLoop]

    @task
    def follow(self) -> None:
        """Runs once; an error goes to whoever waits for `finished`, not into Locust's retries."""
        loop = self.loop
        try:
            loop.run()
        except Exception as error:  # noqa: BLE001 - handed on whole and raised there
            loop.finished.set_exception(error)
        else:
            loop.finished.set("over")
        raise StopUser
