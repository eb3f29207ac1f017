"""The program of our own pods: who came through a proxy, and what a failed exchange shows."""

from __future__ import annotations

import json
import socket

import pytest

from harness.faults.agent.exchanges import failure_of, measure
from harness.faults.agent.proxy import Clients, established

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def accepted(client: str, proxy: str = "db-5432") -> str:
    said = {"level": "info", "name": proxy, "client": client, "message": "Accepted client"}
    return json.dumps(said) + "\n"


def test_clients_are_counted_by_proxy_and_address_for_as_long_as_asked() -> None:
    clients = Clients()
    clients.take(accepted("10.244.0.5:40000"), 10.0)
    clients.take(accepted("[::ffff:10.244.0.5]:40001"), 11.0)
    clients.take(accepted("[fd00::5]:40002"), 12.0)
    clients.take(accepted("10.244.0.9:1", proxy="cache-6379"), 12.0)
    assert clients.lately("db-5432", 10.0) == {"10.244.0.5": 2, "fd00::5": 1}
    assert clients.lately("db-5432", 11.5) == {"fd00::5": 1}
    assert clients.lately("cache-6379", 0.0) == {"10.244.0.9": 1}


def test_what_is_no_accepted_client_is_passed_over_and_the_old_are_forgotten() -> None:
    clients = Clients()
    clients.take("panic: not JSON\n", 0.0)
    clients.take("7\n", 0.0)
    clients.take(accepted("10.0.0.1:1").replace("Accepted", "Terminated"), 0.0)
    clients.take(accepted("10.0.0.1:1"), 1.0)
    clients.take(accepted("10.0.0.2:1"), 100.0)
    assert clients.lately("db-5432", 0.0) == {"10.0.0.2": 1}


def test_open_connections_are_read_from_the_kernels_table() -> None:
    # 15000 is 3A98; 0500F40A is 10.244.0.5 as a little-endian machine writes it.
    tcp = HEAD + "\n".join(
        [
            "   0: 00000000:3A98 00000000:0000 0A 0",
            "   1: 0700F40A:3A98 0500F40A:9C40 01 0",
            "   2: 0700F40A:3A98 0500F40A:9C41 01 0",
            "   3: 0700F40A:3A98 0600F40A:9C41 06 0",
            "   4: 0700F40A:3A99 0600F40A:9C41 01 0",
            "   5: 0500F40A:9C40 0700F40A:3A98 01 0",
        ]
    )
    mapped = "0000000000000000FFFF00000900F40A"
    tcp6 = HEAD + f"   0: {mapped}:3A98 {mapped}:9C40 01 0"
    assert established([tcp, tcp6], 15000) == {"10.244.0.5": 2, "10.244.0.9": 1}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError("[Errno 111] Connection refused"), "refused"),
        (OSError("connection failed: port 5432 failed: Connection refused"), "refused"),
        (Exception('(2003, "Can\'t connect ... ([Errno 111] Connection refused)")'), "refused"),
        (ConnectionResetError("[Errno 104] Connection reset by peer"), "cut"),
        (Exception("server closed the connection unexpectedly"), "cut"),
        (Exception("(2013, 'Lost connection to MySQL server during query')"), "cut"),
        (TimeoutError("no answer in 3 s"), "silent"),
        (Exception("connection timeout expired"), "silent"),
        (Exception('failed: FATAL:  password authentication failed for user "shop"'), "answered"),
        (Exception("(1045, \"Access denied for user 'shop'\")"), "answered"),
        (Exception("WRONGPASS invalid username-password pair"), "answered"),
        (Exception("FATAL: terminating connection, the server closed it"), "answered"),
        (socket.gaierror(-2, "Name or service not known"), "answered"),
    ],
)
def test_a_cut_is_told_from_an_answer(error: Exception, kind: str) -> None:
    assert failure_of(error) == kind


def test_an_exchange_with_nobody_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        got = measure({"protocol": "tcp", "host": "127.0.0.1", "port": str(port), "timeout": "2"})
    assert (got["ok"], got["failure"]) == (False, "refused")


def test_an_exchange_that_is_never_answered_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        got = measure({"protocol": "http", "host": "127.0.0.1", "port": str(port), "timeout": "1"})
    assert (got["ok"], got["failure"]) == (False, "silent")
