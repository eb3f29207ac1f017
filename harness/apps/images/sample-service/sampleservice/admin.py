"""The admin port: its own thread and its own tiny HTTP server, so that it answers while the
event loop hangs. No Service exposes it and no load reaches it.

    GET  /state                                    identity, pool, memory, active knobs
    POST /deadlock?seconds=600                     block the event loop until reset
    POST /hang?seconds=10                          block the event loop for that long
    POST /memory?mb_per_second=20&limit_mb=&seconds=300
    POST /exit?code=1                              leave at once
    POST /reset                                    end every knob
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from sampleservice.knobs import LIMITS, Knobs

log = logging.getLogger(__name__)

State = Callable[[], dict[str, object]]


class BadRequestError(Exception):
    """The query of an admin call cannot be understood."""


def number(query: dict[str, str], name: str, default: float, most: float) -> float:
    """A number of a query, above 0 and at most `most`; BadRequestError says what is allowed."""
    given = query.get(name)
    if not given:
        return default
    try:
        value = float(given)
    except ValueError:
        raise BadRequestError(f"{name}={given!r} is not a number") from None
    if not 0 < value <= most:
        raise BadRequestError(f"{name}={given!r} must be above 0 and at most {most:g}")
    return value


def exit_code(query: dict[str, str]) -> int:
    """The `code` of a query, 1 if none is given; BadRequestError unless it is 0 to 255."""
    given = query.get("code", "1")
    if not given.isdigit() or int(given) > 255:
        raise BadRequestError(f"code={given!r} is not an exit code (0 to 255)")
    return int(given)


def turn(knobs: Knobs, name: str, query: dict[str, str]) -> dict[str, object]:
    """Turn one knob as the query says; returns what was done. Raises BadRequestError."""
    if name == "reset":
        knobs.reset()
        return {"knob": name}
    if name not in LIMITS:
        raise BadRequestError(
            f"there is no knob {name!r}: {', '.join(sorted(LIMITS))}, exit, reset"
        )
    limits = LIMITS[name]
    seconds = number(query, "seconds", limits.default, limits.most)
    if name == "memory":
        limit = number(query, "limit_mb", 0, 1_000_000) or None
        knobs.grow(number(query, "mb_per_second", 20, 100_000), limit, seconds)
    else:
        try:
            knobs.stall(name, seconds)
        except RuntimeError as error:
            raise BadRequestError(str(error)) from error
    return {"knob": name, "seconds": seconds}


def serve(address: tuple[str, int], knobs: Knobs, state: State) -> ThreadingHTTPServer:
    """Start the admin server in a thread; `shutdown()` on the result ends it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if urlsplit(self.path).path == "/state":
                self._answer(200, state())
            else:
                self._answer(404, {"error": "GET /state is all there is to read"})

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            name, query = parts.path.strip("/"), dict(parse_qsl(parts.query))
            try:
                if name == "exit":
                    code = exit_code(query)
                    self._answer(200, {"knob": name, "code": code})
                    os._exit(code)
                self._answer(200, turn(knobs, name, query))
            except BadRequestError as error:
                self._answer(400, {"error": str(error)})

        def _answer(self, code: int, body: dict[str, object]) -> None:
            data = json.dumps(body).encode() + b"\n"
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            if self.command != "GET":
                log.warning("admin: " + format, *args)

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()
    return server
