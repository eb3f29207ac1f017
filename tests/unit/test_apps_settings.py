"""The sample service's settings, admin calls and memory, without a process or a database."""

from __future__ import annotations

import pytest
from sampleservice import admin, identity, memory, settings
from sampleservice.knobs import Knobs
from sampleservice.settings import SettingsError

NEEDED = {
    "DATABASE_HOST": "db",
    "DATABASE_NAME": "checkout",
    "DATABASE_USER": "checkout",
    "DATABASE_PASSWORD": "secret",
}


def test_defaults_need_only_the_database() -> None:
    found = settings.read(NEEDED, "checkout")
    assert found.listen == ("0.0.0.0", 8080)
    assert found.database_probes == {"/healthz/ready", "/healthz/db", "/ready"}
    assert (found.heap_mb, found.exit_at_start, found.ignore_sigterm) == (0, None, False)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_missing_variable_is_named(name: str) -> None:
    rest = {key: value for key, value in NEEDED.items() if key != name}
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        settings.read(rest, "checkout")


def test_the_web_role_needs_a_greeting_and_no_database() -> None:
    found = settings.read({"GREETING": "hello"}, "web")
    assert (found.greeting, found.database) == ("hello", None)
    with pytest.raises(SettingsError, match="GREETING is not set"):
        settings.read({}, "web")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POOL_SIZE", "many"),
        ("POOL_SIZE", "0"),
        ("DRAIN_SECONDS", "-1"),
        ("START_DELAY_SECONDS", "nan"),
        ("HEAP_PREALLOCATE_MB", "inf"),
        ("EXIT_AT_START", "256"),
        ("IGNORE_SIGTERM", "perhaps"),
        ("METRICS_BIND", "9090"),
        ("PROBES_WITH_DATABASE", "/healthz/ready,/other"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings.read({**NEEDED, name: value}, "checkout")


def test_probe_paths_can_all_be_without_the_database() -> None:
    assert (
        settings.read({**NEEDED, "PROBES_WITH_DATABASE": ""}, "checkout").database_probes
        == frozenset()
    )


def test_exit_code_zero_is_not_no_exit_code() -> None:
    assert settings.read({**NEEDED, "EXIT_AT_START": "0"}, "checkout").exit_at_start == 0


def test_ballast_is_resident_and_given_back() -> None:
    def resident() -> int:
        return int(identity.status_fields(identity.STATUS.read_text())["VmRSS"].split()[0])

    ballast, before = memory.Ballast(), resident()
    ballast.add("heap", 50)
    # VmRSS is in KiB, and the kernel counts it per thread with some slack.
    assert resident() - before > 40_000
    assert ballast.held() == {"heap": 50}
    ballast.free("heap")
    assert resident() - before < 10_000
    assert ballast.held() == {}


def test_status_fields_are_taken_as_the_kernel_writes_them() -> None:
    text = "Name:\tx\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
    assert identity.status_fields(text) == {
        "CapEff": "0000000000000000",
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }


@pytest.mark.parametrize(
    ("name", "query", "said"),
    [
        ("explode", {}, "no knob 'explode'"),
        ("hang", {"seconds": "x"}, "not a number"),
        ("hang", {"seconds": "301"}, "at most 300"),
        ("deadlock", {"seconds": "0"}, "above 0"),
        ("deadlock", {"seconds": "5"}, "does not run yet"),
        ("memory", {"mb_per_second": "-3"}, "above 0"),
    ],
)
def test_a_knob_refuses_what_it_cannot_do(name: str, query: dict[str, str], said: str) -> None:
    knobs = Knobs(memory.Ballast())
    with pytest.raises(admin.BadRequestError, match=said):
        admin.turn(knobs, name, query)
    assert knobs.active() == {}
