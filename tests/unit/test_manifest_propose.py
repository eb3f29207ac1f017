"""Guesses about applications that the harness has never seen, and the file made of them."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path

import pytest

from harness.manifest.guess import Guess, guess_roles
from harness.manifest.objects import Ref, find
from harness.manifest.propose import propose
from harness.manifest.subject_file import SubjectFile
from harness.manifest.subject_reading import parse_subject
from harness.manifest.validate import problems
from harness.manifest.wiring import callers_of
from harness.manifest.yaml import load_all


def workload(name: str, image: str, env: str = "[]", kind: str = "Deployment") -> str:
    return f"""---
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: main, image: "{image}", env: {env}}}]}}
"""


def service(name: str, port: int, extra: str = "") -> str:
    return f"""---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: {port}}}]{extra}}}
"""


SHOP = (
    workload("web", "nginx:1.27", '[{name: UPSTREAM, value: "http://api:8080/"}]')
    + service("web", 80, ", type: LoadBalancer")
    + workload("api", "shop/api:1.4", '[{name: DSN, value: "mysql://u:p@orders-db:3306/orders"}]')
    + service("api", 8080)
    + workload("orders-db", "mariadb:11", kind="StatefulSet")
    + service("orders-db", 3306)
    + workload("redis", "valkey/valkey:8")
    + service("redis", 6379)
)


def guessed(text: str) -> dict[str, Guess]:
    return {guess.role: guess for guess in guess_roles(load_all(text))}


def proposed(text: str) -> tuple[str, SubjectFile]:
    written = propose(load_all(text), name="shop", manifests=["."])
    return written, parse_subject(tomllib.loads(written), Path(__file__).parent / "harness.toml")


def test_a_shop_with_a_front_an_api_and_two_stores() -> None:
    roles = guessed(SHOP)
    assert {role: str(guess.ref) for role, guess in roles.items()} == {
        "entry": "Service/web:80",
        "workload": "Deployment/api",
        "database": "Service/orders-db:3306",
        "cache": "Service/redis:6379",
    }
    assert "LoadBalancer" in roles["entry"].because
    assert "web passes requests on to Service/api" in roles["workload"].because
    assert roles["database"].because == "its pods run mariadb:11; used by api"
    assert roles["database"].extra["protocol"] == "mysql"


def test_the_proposal_is_a_file_that_the_harness_accepts() -> None:
    text, subject = proposed(SHOP)
    assert [str(role.ref) for role in subject.roles.values()] == [
        "Service/web:80",
        "Deployment/api",
        "Service/orders-db:3306",
        "Service/redis:6379",
    ]
    assert subject.subject.images == ("nginx:1.27", "shop/api:1.4", "mariadb:11", "valkey/valkey:8")
    assert "# guessed: its pods run mariadb:11" in text
    assert problems(load_all(SHOP), version="1.36", roles=subject.roles) == []


def test_an_only_store_is_the_database_even_if_it_is_a_cache_elsewhere() -> None:
    text = workload("app", "go-app:1", '[{name: REDIS_ADDR, value: "kv:6379"}]') + service(
        "app", 80
    )
    roles = guessed(text + workload("kv", "redis:7") + service("kv", 6379))
    assert roles["database"].extra["protocol"] == "redis"
    assert "used by app" in roles["database"].because
    assert "cache" not in roles


def test_an_ingress_shows_the_entry() -> None:
    ingress = """---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: main}
spec: {rules: [{http: {paths: [{path: /, backend: {service: {name: b, port: {number: 9}}}}]}}]}
"""
    text = workload("a", "x/a:1") + service("a", 8080) + workload("b", "x/b:1") + service("b", 9)
    assert str(guessed(text)["entry"].ref) == "Service/a:8080"
    found = guessed(text + ingress)["entry"]
    assert str(found.ref) == "Service/b:9"
    assert "an Ingress or HTTPRoute leads to it" in found.because


def test_what_others_call_is_less_likely_the_entry() -> None:
    inner = workload("inner", "x/inner:1") + service("inner", 8080)
    outer = workload("outer", "x/outer:1", '[{name: URL, value: "http://inner:8080"}]')
    assert str(guessed(inner + outer + service("outer", 8080))["entry"].ref) == "Service/outer:8080"


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("{name: metrics, port: 9113}, {name: http, port: 81}", 81),
        ("{name: http-metrics, port: 8080}, {name: web-ui, port: 81}", 81),
        ("{name: a, port: 9}, {name: b, port: 81, appProtocol: http}", 81),
        ("{name: metrics, port: 9113}, {name: main, port: 8080}", 8080),
        ("{name: a, port: 9}, {name: b, port: 81}", 9),
    ],
)
def test_the_port_that_clients_call(ports: str, expected: int) -> None:
    text = workload("a", "x/a:1") + service("a", 1).replace("[{port: 1}]", f"[{ports}]")
    assert guessed(text)["entry"].ref.port == expected


@pytest.mark.parametrize("backend", ["{number: 9}", "{name: odd}"])
def test_the_port_that_an_ingress_names(backend: str) -> None:
    ingress = f"""---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: main}}
spec: {{defaultBackend: {{service: {{name: a, port: {backend}}}}}}}
"""
    both = "[{name: http, port: 80}, {name: odd, port: 9}]"
    text = workload("a", "x/a:1") + service("a", 1).replace("[{port: 1}]", both)
    assert guessed(text)["entry"].ref.port == 80
    assert guessed(text + ingress)["entry"].ref.port == 9


HEADLESS = service("names", 6379, ", clusterIP: None").replace("app: names", "app: kv")


def test_a_headless_service_beside_another_is_no_dependency_of_its_own() -> None:
    app = workload("app", "x/app:1") + service("app", 80) + workload("kv", "redis:7")
    roles = guessed(app + HEADLESS + service("kv", 6379))
    assert {name: str(guess.ref) for name, guess in roles.items() if guess.extra} == {
        "database": "Service/kv:6379"
    }
    assert str(guessed(app + HEADLESS)["database"].ref) == "Service/names:6379"


CREDENTIALS = """---
apiVersion: v1
kind: Secret
metadata: {name: pg}
stringData: {pw: x, who: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: names}
data: {POSTGRES_DB: orders}
"""


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (
            "[{name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: pg, key: pw}}},"
            " {name: POSTGRES_USER, valueFrom: {secretKeyRef: {name: pg, key: who}}}]",
            {"secret": "pg", "password_key": "pw", "user_key": "who"},
        ),
        (
            "[{name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: pg, key: pw}}},"
            " {name: POSTGRES_USER, value: shop},"
            " {name: POSTGRES_DB, valueFrom: {configMapKeyRef: {name: names, key: POSTGRES_DB}}}]",
            {"secret": "pg", "password_key": "pw", "user": "shop", "dbname": "orders"},
        ),
        (
            "[{name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: pg, key: pw}}}]",
            {"secret": "pg", "password_key": "pw", "user": "postgres"},
        ),
        ("[{name: POSTGRES_PASSWORD, value: literal}]", {}),
    ],
)
def test_credentials_of_a_database(env: str, expected: dict[str, str]) -> None:
    text = workload("db", "postgres:17", env) + service("db", 5432) + CREDENTIALS
    text += workload("app", "x/app:1") + service("app", 8080)
    extra = dict(guessed(text)["database"].extra)
    assert extra == {"protocol": "postgres"} | expected
    written, subject = proposed(text)
    assert "literal" not in written, "a password must not get into the file"
    assert problems(load_all(text), version="1.36", roles=subject.roles) == []


@pytest.mark.parametrize(
    ("value", "calls"),
    [
        ("db", True),
        ("db:5432", True),
        ("postgres://u:p@db/x", True),
        ("host=db port=5432", True),
        ("http://db.shop.svc.cluster.local:80/", True),
        ("a,db:1,c", True),
        ("my-db:5432", False),
        ("dbx", False),
        ("/var/lib/db-files", False),
        ("db.example-other", True),
        ("adb", False),
    ],
)
def test_who_calls_a_service(value: str, calls: bool) -> None:
    text = service("db", 5432) + workload("db", "x:1")
    objects = load_all(text + workload("app", "x:1", f'[{{name: V, value: "{value}"}}]'))
    found = callers_of(objects, find(objects, Ref.parse("Service/db")))
    assert bool(found) is calls


def test_callers_are_seen_through_secrets_and_config_files() -> None:
    encoded = base64.b64encode(b"redis://db:6379").decode()
    settings = f"""---
apiVersion: v1
kind: Secret
metadata: {{name: s}}
data: {{url: {encoded}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: c}}
data: {{app.yaml: "upstream: db:6379"}}
"""
    by_secret = workload(
        "one", "x:1", "[{name: U, valueFrom: {secretKeyRef: {name: s, key: url}}}]"
    )
    by_file = workload("two", "x:1").replace(
        "spec: {containers", "spec: {volumes: [{name: v, configMap: {name: c}}], containers"
    )
    objects = load_all(service("db", 6379) + settings + by_secret + by_file)
    found = callers_of(objects, find(objects, Ref.parse("Service/db")))
    assert [obj["metadata"]["name"] for obj in found] == ["one", "two"]


def test_nothing_to_guess_leaves_comments_that_say_what_to_write() -> None:
    text, subject = proposed(workload("job", "x/job:1"))
    assert subject.roles == {}
    for role in ("entry", "workload", "database"):
        assert f"\n# {role} = " in text


def test_a_dockerfile_that_fits_no_image_is_offered_as_a_comment() -> None:
    objects = load_all(SHOP)
    needed = {"nginx:1.27": "web", "mariadb:11": "db", "valkey/valkey:8": "kv"}
    written = propose(objects, name="x", manifests=["."], builds=needed, spare=["src"])
    assert "src has a Dockerfile, too" in written
    commented = written.partition("# src has")[2].splitlines()[2:4]
    by_hand = tomllib.loads("\n".join(line.removeprefix("# ") for line in commented))
    assert by_hand == {"build": {"shop/api:1.4": {"context": "src"}}}
    every = {**needed, "shop/api:1.4": "api"}
    assert "src" not in propose(objects, name="x", manifests=["."], builds=every, spare=["src"])


def test_builds_and_namespaces_are_explained() -> None:
    text = SHOP.replace("metadata: {name: api}", "metadata: {name: api, namespace: prod}")
    written = propose(
        load_all(text), name="x", manifests=["a", "b"], builds={"shop/api:1.4": "api"}
    )
    data = tomllib.loads(written)
    assert data["build"] == {"shop/api:1.4": {"context": "api"}}
    assert "shop/api:1.4" not in data["subject"]["images"]
    assert data["subject"]["namespace"] == "prod"
    assert data["subject"]["manifests"] == ["a", "b"]
