"""What the load refuses before anything starts, and the bytes that it sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.declare import Load
from harness.errors import HarnessError, LoadError, UsageError
from harness.load.plan import Endpoint, LoadPlan, plan

URL = "http://127.0.0.1:8080"
PATH = Path("requests.jsonl")


@dataclass
class Known:
    weight: float = 1.0
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def made(load: Load, url: str = URL, **more: Known) -> LoadPlan:
    endpoints = {name.replace("_", " /"): known for name, known in more.items()}
    return plan(url, load, requests=PATH, seed=1, endpoints=endpoints)


def test_a_plan_survives_the_way_to_the_child_process() -> None:
    given = made(Load(rate=40, endpoints={"GET /a": 3, "POST /b": 1}, arrivals="poisson"))
    assert given.timeout_s == 10.0
    assert LoadPlan.decode(given.encode()) == given


def test_the_subject_gives_endpoints_and_the_scenario_may_choose_among_them() -> None:
    order = Known(weight=2, body='{"sku": 1}', headers={"X-User": "7"})
    own = made(Load(rate=1), GET_cart=Known(weight=5), POST_orders=order)
    assert [(e.label, e.weight) for e in own.endpoints] == [("GET /cart", 5), ("POST /orders", 2)]
    chosen = made(Load(rate=1, endpoints={"POST /orders": 9}), POST_orders=order)
    assert chosen.endpoints == (
        Endpoint(method="POST", path="/orders", weight=9, body=order.body, headers={"X-User": "7"}),
    )
    assert [e.label for e in made(Load(rate=1)).endpoints] == ["GET /"]


def test_each_request_is_a_user_of_its_own_with_a_connection_of_its_own() -> None:
    lines = Endpoint(method="GET", path="/a?b=c").encode("127.0.0.1:1").split(b"\r\n")
    assert lines[0] == b"GET /a?b=c HTTP/1.1"
    assert b"host: 127.0.0.1:1" in lines
    assert b"connection: close" in lines


def test_a_body_is_json_unless_a_header_says_otherwise() -> None:
    sent = Endpoint(method="POST", path="/", body='{"é": 1}').encode("h")
    assert b"content-type: application/json\r\n" in sent
    assert b"content-length: 9\r\n" in sent
    assert sent.endswith('\r\n\r\n{"é": 1}'.encode())
    form = Endpoint(method="POST", path="/", body="a=1", headers={"Content-Type": "text/plain"})
    assert b"application/json" not in form.encode("h")
    assert b"content-length: 0\r\n" in Endpoint(method="POST", path="/").encode("h")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://10.0.0.7:80", "10.0.0.7 is not this machine"),
        ("http://example.com", "example.com is not this machine"),
        ("https://127.0.0.1:443", "http://127.0.0.1:<port> only"),
        ("127.0.0.1:80", "http://127.0.0.1:<port> only"),
        ("http://127.0.0.1:80/shop", "http://127.0.0.1:<port> only"),
    ],
)
def test_load_stays_on_this_machine(url: str, says: str) -> None:
    with pytest.raises(LoadError, match=says) as caught:
        made(Load(rate=1), url)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("load", "says"),
    [
        (Load(), "the load has no rate"),
        (Load(rate=1, endpoints={"/cart": 1}), "'/cart' is no endpoint"),
        (Load(rate=1, endpoints={"FETCH /cart": 1}), "'FETCH /cart' is no endpoint"),
        (Load(rate=1, endpoints={"GET /a b": 1}), "'GET /a b' is no endpoint"),
        (Load(rate=1, endpoints={"GET /": 0}), "has weight 0"),
        (Load(rate=1, timeout="0s"), "timeout is '0s'"),
        (Load(rate=1, locustfile="nowhere.py"), r"nowhere\.py does not exist"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_a_remedy(load: Load, says: str) -> None:
    with pytest.raises(HarnessError, match=says) as caught:
        made(load)
    assert caught.value.remedy


def test_a_time_in_an_endpoint_is_divided_like_the_manifests() -> None:
    work = Load(rate=1, endpoints={"GET /work?seconds={1m30s}": 2, "GET /a/{id}": 1})
    assert work.scaled(5).endpoints == {"GET /work?seconds=18": 2, "GET /a/{id}": 1}
    assert work.scaled(4).endpoints == {"GET /work?seconds=22.5": 2, "GET /a/{id}": 1}
    assert Load(rate=1).scaled(5) == Load(rate=1)
    with pytest.raises(UsageError, match="is no duration"):
        Load(rate=1, endpoints={"GET /work?seconds={9 lives}": 1})


def test_a_header_cannot_smuggle_another_request() -> None:
    with pytest.raises(UsageError, match="holds a line break"):
        made(Load(rate=1), GET_a=Known(headers={"X": "1\r\nGET /b"}))
