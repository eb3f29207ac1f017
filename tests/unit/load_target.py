"""A small HTTP server in a thread, with every way to misbehave that the load must tell apart."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace

from harness.history.requests import Requests

_ANSWER = b"HTTP/1.1 %s\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def of_endpoint(requests: Requests, name: str) -> Requests:
    """The recorded requests of one endpoint; arrivals without a record are not among them."""
    mine = requests.endpoint == requests.endpoints.index(name)
    return replace(requests._rows(mine), due=None)


class Target:
    """Serves on 127.0.0.1; while `stalled` is set, nothing is answered."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.answers = threading.Event()
        self.answers.set()
        self.seen: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.answers.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = connection.recv(65536)
            self.seen.append(request)
            match request.split(b" ", 2)[1]:
                case b"/reset":
                    connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                case b"/close":
                    connection.shutdown(socket.SHUT_RDWR)
                case b"/cut":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
                case b"/junk":
                    connection.sendall(b"220 mail.example ESMTP\r\n\r\n")
                case b"/hang":
                    connection.recv(1)
                case b"/unavailable":
                    connection.sendall(_ANSWER % b"503 Service Unavailable")
                case b"/moved":
                    connection.sendall(_ANSWER % b"302 Found")
                case b"/until-close":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")
                case b"/early-hints":
                    connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" + _ANSWER % b"200 OK")
                case _:
                    self.answers.wait(10)
                    connection.sendall(_ANSWER % b"200 OK")


@contextlib.contextmanager
def serving() -> Iterator[Target]:
    """A target for the time of the block."""
    target = Target()
    try:
        yield target
    finally:
        target.close()
