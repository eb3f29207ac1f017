"""When a subject is up to stay: what counts as a disturbance of its pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.history.history import History
from harness.history.records import SECOND
from harness.kube.changes import Change
from harness.kube.store import Store
from harness.manifest.subject_file import Role
from harness.trial.startup import (
    SETTING_UP_S,
    Waves,
    calm_needed_s,
    in_waves,
    last_disturbance,
    own_words,
    start_bound,
    unready,
)

GRACE = {
    "kind": "Deployment",
    "spec": {"template": {"spec": {"terminationGracePeriodSeconds": 6, "containers": []}}},
}


def seen(history: History, at: float, *, ready: bool, restarts: int = 0, verb: str = "") -> None:
    """A state of the pod, observed `at` seconds."""
    status: dict[str, Any] = {
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "containerStatuses": [{"name": "api", "restartCount": restarts}],
    }
    pod = {"metadata": {"name": "api-1", "namespace": "n", "uid": "u"}, "status": status}
    verb = verb or "MODIFIED"
    record = {"t": int(at * SECOND), "type": "object", "kind": "Pod", "verb": verb, "object": pod}
    history.add(record)


def killing(history: History, at: float, why: str = "failed liveness probe") -> None:
    """The kubelet's event, arrived `at` seconds."""
    event = {
        "metadata": {"name": "e", "uid": f"e{at}"},
        "reason": "Killing",
        "message": f"Container api {why}, will be restarted",
        "involvedObject": {"kind": "Pod", "name": "api-1", "namespace": "n", "uid": "u"},
    }
    history.add(
        {"t": int(at * SECOND), "type": "object", "kind": "Event", "verb": "ADDED", "object": event}
    )


def disturbed(history: History, now: float) -> float:
    """The answer, in seconds."""
    return last_disturbance(history, [GRACE], int(now * SECOND)) / SECOND


def test_a_pod_counts_from_its_readiness() -> None:
    history = History()
    seen(history, 1, ready=False)
    seen(history, 4, ready=True)
    seen(history, 5, ready=True)
    assert disturbed(history, 9) == 4


def test_a_pod_counts_from_its_restart_even_if_it_was_never_seen_unready() -> None:
    history = History()
    seen(history, 1, ready=False)
    seen(history, 4, ready=True)
    seen(history, 7, ready=True, restarts=1)
    assert disturbed(history, 9) == 7


def test_a_killed_container_is_not_calm_while_it_still_runs() -> None:
    history = History()
    seen(history, 1, ready=False)
    seen(history, 4, ready=True)
    killing(history, 5)
    assert disturbed(history, 9) == 9, "it is ready, and its end is decided"
    seen(history, 10, ready=False, restarts=1)
    seen(history, 12, ready=True, restarts=1)
    assert disturbed(history, 20) == 12


def test_a_kill_that_is_told_after_its_restart_is_believed_for_one_grace_only() -> None:
    history = History()
    seen(history, 1, ready=True)
    seen(history, 4, ready=True, restarts=1)
    killing(history, 4.5)
    assert disturbed(history, 9) == 9
    assert disturbed(history, 11) == 4


def test_a_pod_that_goes_or_is_stopped_on_purpose_disturbs_nobody() -> None:
    history = History()
    seen(history, 1, ready=True)
    killing(history, 3, why="was stopped")
    assert disturbed(history, 4) == 1
    seen(history, 5, ready=False, verb="DELETED")
    assert disturbed(history, 6) == 0


def test_a_whole_round_is_awaited_only_where_a_probe_has_failed() -> None:
    probe = {"httpGet": {"port": 1}, "timeoutSeconds": 5}
    container = {"name": "api", "livenessProbe": probe}
    api = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [container]}}}}
    history = History()
    seen(history, 1, ready=True)
    assert calm_needed_s(history, [GRACE]) == 0, "nothing here has a liveness probe"
    assert calm_needed_s(history, [GRACE, api]) == 3
    killing(history, 2, why="Liveness probe failed: no answer")
    assert calm_needed_s(history, [GRACE, api]) == 15
    again = History()
    seen(again, 1, ready=True, restarts=1)
    assert calm_needed_s(again, [GRACE, api]) == 15


def workload(kind: str, name: str) -> dict[str, Any]:
    """One whose pods carry its name."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"kind": kind, "metadata": {"name": name, "namespace": "n"}, "spec": spec}


def service(name: str, app: str) -> dict[str, Any]:
    """One before the pods of a workload."""
    spec = {"selector": {"app": app}, "ports": [{"port": 80}]}
    return {"kind": "Service", "metadata": {"name": name, "namespace": "n"}, "spec": spec}


SHOP = [
    workload("Deployment", "front"),
    workload("Deployment", "api"),
    workload("StatefulSet", "db"),
    workload("Deployment", "unknown"),
    service("front", "front"),
    service("db", "db"),
    service("api", "api"),
]
ROLES = {"entry": "Service/front:80", "workload": "Deployment/api", "database": "Service/db:80"}


def names(objects: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{obj['kind']}/{obj['metadata']['name']}" for obj in objects]


def waves(objects: Sequence[dict[str, Any]], roles: dict[str, str]) -> Waves:
    return in_waves(objects, SHOP, {name: Role.model_validate(ref) for name, ref in roles.items()})


def test_what_others_depend_on_is_started_first() -> None:
    made = waves(SHOP, ROLES)
    assert names(made.dependencies) == ["StatefulSet/db"]
    assert names(made.later) == ["Deployment/front", "Deployment/api"]
    assert names(made.first) == names([*SHOP[2:]])


def test_a_proxy_in_the_path_is_not_taken_for_the_database() -> None:
    proxied = [*SHOP[:5], service("db", "proxy"), workload("Deployment", "proxy")]
    made = waves(proxied, ROLES)
    assert names(made.dependencies) == ["StatefulSet/db"]
    assert "Deployment/proxy" in names(made.first)


def test_a_workload_that_is_asked_through_a_service_of_its_own_depends_on_others() -> None:
    made = waves(SHOP, ROLES | {"itself": "Service/api:80"})
    assert names(made.later) == ["Deployment/front", "Deployment/api"]


def test_without_a_dependency_all_start_together() -> None:
    made = waves(SHOP, {"entry": "Service/front:80", "workload": "Deployment/api"})
    assert (made.first, made.dependencies, made.later) == (SHOP, (), ())


# -- one that does not come up ------------------------------------------------------------------


def test_the_bound_is_never_below_the_manifest_s_own_budget() -> None:
    probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 10, "failureThreshold": 90}
    slow = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}
    assert start_bound([slow, {"kind": "Service"}]) == SETTING_UP_S
    slow["spec"]["template"]["spec"]["containers"][0]["startupProbe"] = probe  # type: ignore[index]
    assert start_bound([slow]) == SETTING_UP_S + 901


def log(history: History, pod: str, text: str, code: int = 1) -> None:
    history.add(
        {
            "t": 1,
            "type": "log",
            "pod": pod,
            "container": "api",
            "text": text,
            "exit_code": code,
            "reason": "Error",
        }
    )


def test_a_crashing_subject_speaks_for_itself() -> None:
    history = History()
    log(history, "api-1", "starting\nfirst try\n")
    log(history, "api-1", "starting\nKeyError: 'DATABASE_URL'\n\n", code=3)
    log(history, "api-2", "", code=137)
    assert own_words(history) == [
        "api-1/api exited with code 3: KeyError: 'DATABASE_URL'",
        "api-2/api exited with code 137",
    ]


def test_where_no_container_ever_ran_the_events_say_why() -> None:
    history = History()
    for number in range(3):
        event = {
            "metadata": {"name": f"e{number}", "uid": f"e{number}"},
            "type": "Warning",
            "reason": "FailedCreate",
            "message": "exceeded quota: small",
            "involvedObject": {"kind": "ReplicaSet", "name": "api-5f", "namespace": "n"},
        }
        record = {"t": number, "type": "object", "kind": "Event", "verb": "ADDED", "object": event}
        history.add(record)
    assert own_words(history) == ["FailedCreate ReplicaSet/api-5f: exceeded quota: small"]


def deployment(replicas: int, ready: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "n", "uid": "d", "generation": 1},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 1, "updatedReplicas": ready, "availableReplicas": ready},
    }


@pytest.mark.parametrize(
    ("replicas", "ready", "missing"),
    [
        (1, 1, ["Deployment/api 1 of 2"]),
        (2, 1, ["Deployment/api 1 of 2"]),
        (2, 2, []),
        (4, 3, ["Deployment/api 3 of 4"]),
        # An autoscaler leaves alone what was scaled to nothing.
        (0, 0, []),
    ],
)
def test_what_an_autoscaler_holds_is_up_at_its_lower_bound(
    replicas: int, ready: int, missing: list[str]
) -> None:
    autoscaler = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "api", "namespace": "n"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "api"}, "minReplicas": 2},
    }
    live, store = deployment(replicas, ready), Store()
    store.feed(Change(kind="Deployment", verb="ADDED", object=live, monotonic_ns=1))
    assert unready(store, [live, autoscaler]) == missing
