"""Toxiproxy in the path of a Service: its toxics, when they end, and who came through it.

Toxics that were not renewed in time are removed, so that a fault ends even if the harness died.
Toxiproxy is a child of this process, for its log names every client that it accepted; connections
that were made long ago and are kept in a pool are looked up in the kernel's table.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

API = "http://127.0.0.1:8474"
CONFIG = Path("/etc/toxiproxy/proxies.json")

_COMMAND = ["toxiproxy-server", "-host", "127.0.0.1", "-config", str(CONFIG)]
_ESTABLISHED = "01"
_REMEMBERED_S = 60.0


def call(method: str, path: str, body: Any = None) -> Any:
    """One call of Toxiproxy's API; raises urllib.error.HTTPError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read() or b"null")


class Clients:
    """Who connected to each proxy, by address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted: deque[tuple[float, str, str]] = deque()

    def take(self, line: str, now: float) -> None:
        """One line of Toxiproxy's log; all but those of accepted clients are passed over."""
        try:
            said = json.loads(line)
        except ValueError:
            return
        if not isinstance(said, dict) or said.get("message") != "Accepted client":
            return
        host = _plain(str(said["client"]).rpartition(":")[0].strip("[]"))
        with self._lock:
            self._accepted.append((now, str(said["name"]), host))
            while self._accepted[0][0] < now - _REMEMBERED_S:
                self._accepted.popleft()

    def lately(self, proxy: str, since: float) -> Counter[str]:
        """Connections that a proxy accepted since then (monotonic seconds), by address."""
        with self._lock:
            return Counter(h for t, name, h in self._accepted if name == proxy and t >= since)


def established(tables: Iterable[str], port: int) -> Counter[str]:
    """Open connections to a port of ours, by the other side's address; from /proc/net/tcp{,6}."""
    found: Counter[str] = Counter()
    for table in tables:
        for line in table.splitlines()[1:]:
            local, remote, state = line.split()[1:4]
            if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
                found[_address(remote.rpartition(":")[0])] += 1
    return found


def _address(words: str) -> str:
    """The kernel writes an address as 32-bit words in hexadecimal, each in the host's order."""
    raw = bytes.fromhex(words)
    swapped = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    return _plain(str(ipaddress.ip_address(swapped)))


def _plain(host: str) -> str:
    """An IPv4 address that was mapped into IPv6, as it was."""
    address = ipaddress.ip_address(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


class Proxy:
    """The Toxiproxy of this pod."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._clients = Clients()

    def start(self) -> None:
        """Run Toxiproxy, and return once it answers. If it ends, so does this container."""
        child = subprocess.Popen(_COMMAND, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(child,), daemon=True).start()
        threading.Thread(target=self._expire, daemon=True).start()
        while True:
            try:
                call("GET", "/version")
            except OSError:
                time.sleep(0.2)
            else:
                return

    def clients(self, proxy: str, within: float) -> dict[str, int]:
        """Connections by address: those open now, and those made in the last `within` seconds."""
        configured = {each["name"]: each["listen"] for each in json.loads(CONFIG.read_text())}
        port = int(configured[proxy].rpartition(":")[2])
        tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
        made = self._clients.lately(proxy, time.monotonic() - within)
        # A connection that is open and was made lately counts once.
        return dict(established(tables, port) | made)

    def install(self, proxy: str, toxics: list[dict[str, Any]], enabled: bool, ttl: float) -> None:
        """Replace the proxy's toxics by these; they last `ttl` seconds unless renewed."""
        with self._lock:
            have = call("GET", f"/proxies/{proxy}")
            wanted = {t["name"]: t for t in toxics}
            for old in have["toxics"]:
                if old["name"] not in wanted:
                    call("DELETE", f"/proxies/{proxy}/toxics/{old['name']}")
            present = {t["name"] for t in have["toxics"]}
            for name, toxic in wanted.items():
                if name not in present:
                    call("POST", f"/proxies/{proxy}/toxics", toxic)
            if have["enabled"] != enabled:
                call("POST", f"/proxies/{proxy}", {"enabled": enabled})
            self._deadline = time.monotonic() + ttl

    def renew(self, ttl: float) -> bool:
        """Extend; False if the toxics have expired already."""
        with self._lock:
            if self._deadline is None:
                return False
            self._deadline = time.monotonic() + ttl
            return True

    def reset(self) -> None:
        """Remove every toxic and enable every proxy."""
        with self._lock:
            call("POST", "/reset")
            self._deadline = None

    def _read(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            sys.stdout.write(line)
            self._clients.take(line, time.monotonic())
        os._exit(child.wait() or 1)

    def _expire(self) -> None:
        while True:
            time.sleep(0.5)
            with self._lock:
                due = self._deadline is not None and time.monotonic() > self._deadline
            if due:
                self.reset()
