"""What is written down holds no secret, wherever it stood, and still shows that it changed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.redaction import Redaction, join_run, key_of_this_run, redacted

SECRET = "s3cr3t-Value"


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def variable(name: str, value: str) -> dict[str, Any]:
    container = {"name": "c", "env": [{"name": name, "value": value}]}
    return {"kind": "Pod", "spec": {"containers": [container]}}


PLACES: dict[str, Callable[[str], Any]] = {
    "Secret data": lambda s: {"kind": "Secret", "data": {"x": coded(s)}},
    "Secret data that is no base64": lambda s: {"kind": "Secret", "data": {"x": "!" + s}},
    "Secret stringData": lambda s: {"kind": "Secret", "stringData": {"x": s}},
    "Secret in a list": lambda s: {"items": [{"kind": "Secret", "data": {"x": coded(s)}}]},
    "Secret in an annotation": lambda s: {
        "metadata": {
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": written(
                    {"kind": "Secret", "data": {"x": coded(s)}}
                )
            }
        }
    },
    "variable by name": lambda s: variable("DB_PASSWORD", s),
    "variable without a boundary": lambda s: variable("PGPASSWORD", s),
    "variable in camel case": lambda s: variable("spring.datasource.apiKey", s),
    "header": lambda s: {"httpHeaders": [{"name": "Authorization", "value": f"Basic {s}"}]},
    "variable with a URL": lambda s: variable("DATABASE", f"postgres://app:{s}@db:5432/shop"),
    "URL with a token only": lambda s: variable("MIRROR", f"https://{s}@index/simple"),
    "variable with a DSN": lambda s: variable("DSN", f"host=db user=app password={s} port=1"),
    "option of two words": lambda s: {"args": ["serve", "--db-password", s]},
    "field of anything": lambda s: {"spec": {"clientSecret": s}},
    "header in a log": lambda s: {"text": f"sent Authorization: Bearer {s}"},
    "JSON in a text": lambda s: {"text": f'answer {{"access_token": "{s}"}}'},
    "option": lambda s: {"args": ["serve", f"--token={s}"]},
    "ConfigMap by key": lambda s: {"kind": "ConfigMap", "data": {"password": s}},
    "ConfigMap with a file": lambda s: {
        "kind": "ConfigMap",
        "data": {"app.yaml": f"db:\n  password: {s}\n  host: db\n"},
    },
    "ConfigMap with JSON": lambda s: {"kind": "ConfigMap", "data": {"a": f'{{"token": "{s}"}}'}},
    "ConfigMap with an index": lambda s: {
        "kind": "ConfigMap",
        "data": {"pip.conf": f"[global]\nindex-url = https://u:{s}@index/simple\n"},
    },
    "log": lambda s: {"type": "log", "text": f"cannot reach amqp://u:{s}@mq:5672 (3 tries)"},
    "request": lambda s: {"type": "note", "text": f"GET /orders?api_key={s}&page=2"},
    "private key": lambda s: {
        "text": f"-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----"
    },
}


def written(value: Any) -> str:
    return orjson.dumps(value).decode()


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=20)
@given(secret=st.text("abyzABYZ0189_.~+-", min_size=8, max_size=40))
def test_no_secret_is_left_wherever_it_stood(place: str, secret: str) -> None:
    redaction = Redaction(b"key")
    # What the harness itself writes around it is no secret.
    frame = written(PLACES[place](""))
    if secret in frame:
        return
    once = redaction.of(PLACES[place](secret))
    assert secret not in written(once)
    assert coded(secret) not in written(once)
    assert redaction.of(once) == once


@pytest.mark.parametrize("place", PLACES)
def test_a_change_shows_and_equal_values_stay_equal(place: str) -> None:
    redaction = Redaction()
    before, same, after = (PLACES[place](s) for s in (SECRET, SECRET, f"{SECRET}2"))
    assert redaction.of(before) == redaction.of(same)
    assert redaction.of(before) != redaction.of(after)
    assert redaction.of(before) != Redaction().of(before)


@pytest.mark.parametrize(
    "value",
    [
        variable("LOG_LEVEL", "debug"),
        variable("KEYSPACE", "orders"),
        variable("URL", "http://checkout:8080/orders?page=2"),
        {"env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]},
        {"volumes": [{"name": "s", "secret": {"secretName": "db"}}]},
        {"tolerations": [{"key": "a", "operator": "Exists"}], "imagePullSecrets": [{"name": "r"}]},
        {"text": "basic authentication is required; the bearer token123 is expired"},
        {"args": ["--verbose", "serve"], "text": "[1, 2]  is no object", "note": '{"a": 1}'},
        {"kind": "ConfigMap", "data": {"app.yaml": "port: 8080\n"}},
        {"text": 'secret "db" not found', "message": "password authentication failed for app"},
        {"type": "sample", "name": "memory_bytes", "value": 12, "limit": None},
        {"image": "registry/app@sha256:0011", "mail": "a@b.example"},
    ],
)
def test_what_is_no_secret_stays_as_it_is(value: Any) -> None:
    assert Redaction().of(value) == value


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(["Secret", "ConfigMap"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["kind", "data", "name", "value", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_can_be_redacted_and_doing_it_twice_changes_nothing(value: Any) -> None:
    redaction = Redaction(b"key")
    once = redaction.of(value)
    assert redaction.of(once) == once


def test_base64_and_plain_text_of_a_secret_are_one_value() -> None:
    redaction = Redaction()
    data = redaction.of({"kind": "Secret", "data": {"x": coded(SECRET)}})["data"]
    assert data == redaction.of({"kind": "Secret", "stringData": {"x": SECRET}})["stringData"]


def test_the_id_of_a_trial_makes_no_difference_between_variants() -> None:
    redaction = Redaction()
    one, other = (
        redaction.of({"kind": "Secret", "stringData": {"url": f"db.shop-{trial}"}}, aside=trial)
        for trial in ("1a2b", "3c4d")
    )
    assert one == other


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        ({"password": "Long-Enough"}, True),
        ({"password": "plainwords"}, True),
        ({"host": "db-0.shop:5432"}, True),
        ({"username": "checkout"}, False),
        ({"password": "short"}, False),
    ],
)
def test_what_was_hidden_once_is_hidden_in_texts_unless_it_is_in_every_text(
    value: dict[str, str], hidden: bool
) -> None:
    redaction = Redaction()
    (secret,) = value.values()
    line = f"cannot reach {secret} (3 tries)"
    assert redaction.of(line) == line
    redaction.of({"kind": "Secret", "stringData": value})
    assert (secret not in redaction.of(line)) == hidden
    # Names of objects are no texts: what is judged by them is found by them.
    assert redaction.of({"metadata": {"name": secret}}) == {"metadata": {"name": secret}}


def test_the_password_of_a_connection_string_is_hidden_by_itself() -> None:
    redaction = Redaction()
    redaction.of(variable("QUEUE", f"amqp://shop:{SECRET}@mq:5672/"))
    assert SECRET not in redaction.of(f"shop cannot log in with {SECRET}")


def test_a_copy_under_another_name_is_hidden() -> None:
    redaction = Redaction()
    redaction.of(variable("DB_PASSWORD", SECRET))
    assert SECRET not in written(redaction.of(variable("COPY", SECRET)))


def test_another_process_of_the_run_makes_the_same_marks() -> None:
    here = redacted(variable("TOKEN", SECRET))
    join_run(key_of_this_run())
    assert redacted(variable("TOKEN", SECRET)) == here
