"""What the harness asks of its pod, over HTTP.

POST /exchange; PUT /sessions, POST /sessions/renew, DELETE /sessions/NAME. Of a pod with a proxy
also GET /clients, PUT /toxics, POST /renew, DELETE /toxics.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from . import proxy
from .exchanges import measure
from .proxy import Proxy
from .sessions import Sessions

SESSIONS = Sessions()
PROXY = Proxy()


class Handler(BaseHTTPRequestHandler):
    """One request each; what is not known is not found."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Errors only: the harness records every measurement itself."""

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        return json.loads(self.rfile.read(length) or b"{}")

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/healthz":
            self._answer(200, "ok")
        elif url.path == "/clients":
            asked = dict(urllib.parse.parse_qsl(url.query))
            self._answer(200, PROXY.clients(asked["proxy"], float(asked["within"])))
        else:
            self._answer(404, "not found")

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/exchange":
            self._answer(200, measure({k: str(v) for k, v in body.items()}))
        elif self.path == "/renew":
            self._answer(200, {"renewed": PROXY.renew(body["ttl"])})
        elif self.path == "/sessions/renew":
            self._answer(200, {"renewed": SESSIONS.renew(body["name"], body["ttl"])})
        else:
            self._answer(404, "not found")

    def do_PUT(self) -> None:
        body = self._body()
        if self.path == "/sessions":
            self._answer(200, SESSIONS.hold(body.pop("name"), body))
        elif self.path == "/toxics":
            PROXY.install(body["proxy"], body["toxics"], body["enabled"], body["ttl"])
            self._answer(200, proxy.call("GET", f"/proxies/{body['proxy']}"))
        else:
            self._answer(404, "not found")

    def do_DELETE(self) -> None:
        if self.path.startswith("/sessions/"):
            self._answer(200, {"released": SESSIONS.release(self.path.rsplit("/", 1)[1])})
        elif self.path == "/toxics":
            PROXY.reset()
            self._answer(200, proxy.call("GET", "/proxies"))
        else:
            self._answer(404, "not found")


def serve(port: int, *, with_proxy: bool) -> None:
    """For ever."""
    threading.Thread(target=SESSIONS.watch, daemon=True).start()
    if with_proxy:
        PROXY.start()
    ThreadingHTTPServer(("", port), Handler).serve_forever()
