from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ManifestError
from harness.manifest.objects import Ref
from harness.manifest.subject_file import AvailabilityBound, LatencyBound
from harness.manifest.subject_reading import load_subject

DESIGN = """
[subject]
manifests = "deploy/"
images = ["shop/checkout:1.4"]
[roles]
entry = "Service/checkout:8080"
workload = "Deployment/checkout"
database = "Service/postgres:5432"
[load]
rate = 50
[objectives]
availability = 0.99
"""

FULL = """
[subject]
name = "checkout"
namespace = "prod-checkout"
manifests = ["deploy/", "extra.yaml"]
images = ["shop/checkout:1.4"]
variants = "variants"

[build."shop/checkout:1.4"]
context = "app"
dockerfile = "Dockerfile.slim"
args = { RELEASE = "1.4" }

[roles]
entry = "Service/front-door:8080"
workload = "Deployment/checkout-api"

[roles.database]
service = "checkout-db:5432"
protocol = "postgres"
secret = "checkout-db"
user_key = "POSTGRES_USER"
password_key = "POSTGRES_PASSWORD"
dbname = "checkout"

[load]
rate = 40
timeout = "2500ms"
[load.endpoints]
"GET /cart" = 4
"POST /orders" = { weight = 1, body = "{}", headers = { Content-Type = "application/json" } }

[objectives]
availability = 0.999
p99 = "500ms"
restarts = 0
recovery = "readiness + 5s"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "My Shop"
    for folder in ("deploy", "app", "variants"):
        (root / folder).mkdir(parents=True)
    (root / "extra.yaml").touch()
    return root


def write(root: Path, text: str) -> Path:
    (root / "harness.toml").write_text(text)
    return root


def refused(root: Path, text: str) -> ManifestError:
    with pytest.raises(ManifestError) as raised:
        load_subject(write(root, text))
    assert str(root / "harness.toml") in raised.value.message
    return raised.value


def test_the_file_of_the_design(shop: Path) -> None:
    found = load_subject(write(shop, DESIGN))
    assert found.subject.name == found.subject.namespace == "my-shop"
    assert found.subject.manifests == (shop / "deploy",)
    assert found.roles["database"].ref == Ref("Service", "postgres", port=5432)
    assert found.load.rate == 50
    assert found.load.weights() == {"GET /": 1.0}
    assert found.objectives.availability == AvailabilityBound(at_least=0.99, during="recovered")
    assert found.objectives.p99 is None


def test_an_objective_may_name_its_stretch(shop: Path) -> None:
    text = DESIGN.replace("0.99", '{ at_least = 0.9, during = "fault" }')
    found = load_subject(write(shop, text + 'p99 = { at_most = "300ms", during = "all" }\n'))
    assert found.objectives.availability == AvailabilityBound(at_least=0.9, during="fault")
    assert found.objectives.p99 == LatencyBound(at_most=0.3, during="all")


def test_everything_that_can_be_said(shop: Path) -> None:
    found = load_subject(write(shop, FULL))
    assert found.subject.namespace == "prod-checkout"
    assert found.subject.variants == shop / "variants"
    assert found.build["shop/checkout:1.4"].context == shop / "app"
    database = found.role("database")
    assert str(database.ref) == "Service/checkout-db:5432"
    assert (database.protocol, database.user_key) == ("postgres", "POSTGRES_USER")
    assert found.load.timeout == 2.5
    assert found.load.weights() == {"GET /cart": 4.0, "POST /orders": 1.0}
    assert found.load.endpoints["POST /orders"].headers == {"Content-Type": "application/json"}
    assert found.objectives.p99 == LatencyBound(at_most=0.5)
    assert found.objectives.recovery == "readiness + 5s"
    assert found.model_dump(mode="json")["roles"]["entry"]["ref"] == "Service/front-door:8080"


def test_the_file_itself_may_be_named(shop: Path) -> None:
    assert load_subject(write(shop, DESIGN) / "harness.toml").directory == shop


def test_no_file(shop: Path) -> None:
    with pytest.raises(ManifestError) as raised:
        load_subject(shop)
    assert "harness init" in raised.value.remedy


def test_no_toml(shop: Path) -> None:
    assert "line 2" in refused(shop, "\n[subject\n").message


def test_a_path_that_is_not_there(shop: Path) -> None:
    error = refused(shop, DESIGN.replace("deploy/", "deploi/"))
    assert 'subject.manifests = "deploi" is not there' in error.message


@pytest.mark.parametrize(
    ("old", "new", "message", "remedy"),
    [
        ("rate = 50", "rates = 50", "load.rates: no such key", 'did you mean "rate"?'),
        ("[roles]", "[rolls]", "rolls: no such key", 'did you mean "roles"?'),
        (
            "[subject]\nmanifests",
            "[subject]\nmanifest",
            "subject.manifest: no such key",
            '"manifests"?',
        ),
        ('manifests = "deploy/"\n', "", "subject.manifests: missing", "add it"),
        ("rate = 50", "rate = 0", "load.rate: it should be greater than 0", "correct the value 0"),
        ("rate = 50", 'timeout = "5 minutes"', '"5 minutes" is no duration', "correct the value"),
        ("rate = 50", 'endpoints = { "/cart" = 1 }', '"/cart" is no endpoint', "correct the value"),
        ("availability = 0.99", "availability = 99", "objectives.availability", "99"),
        ("availability = 0.99", 'availability = "most"', "valid number", "'most'"),
        ("0.99", '{ at_least = 0.9, during = "faults" }', '"faults" is not known', '"fault"?'),
        ("0.99", "{ at_lest = 0.9 }", "availability.at_lest: no such key", '"at_least"?'),
        ("availability = 0.99", 'recovery = "ready + 5s"', '"ready" is no time', "correct"),
        ('"Deployment/checkout"', '"checkout"', '"checkout" names no object', "Kind/name"),
        (
            '"Deployment/checkout"',
            "{ ref = 'Service/x:1', protocol = 'postgre' }",
            "postgre",
            '"postgres"?',
        ),
        (
            '"Deployment/checkout"',
            "{ ref = 'Service/x:1', secrets = 'a' }",
            "roles.workload.secrets",
            '"secret"?',
        ),
        ("[subject]", '[subject]\nnamespace = "Shop"', '"Shop" is no name for a namespace', "Shop"),
    ],
)
def test_wrong_keys_and_values(shop: Path, old: str, new: str, message: str, remedy: str) -> None:
    error = refused(shop, DESIGN.replace(old, new, 1))
    assert message in error.message
    assert remedy in error.remedy


def test_every_wrong_key_is_named_at_once(shop: Path) -> None:
    error = refused(shop, DESIGN.replace("rate = 50", "rates = 5\nendpoint = 1"))
    assert "load.rates" in error.message
    assert "load.endpoint" in error.message


def test_an_unbound_role_is_named(shop: Path) -> None:
    found = load_subject(write(shop, DESIGN))
    with pytest.raises(ManifestError) as raised:
        found.role("queue")
    assert "bound: database, entry, workload" in raised.value.message
