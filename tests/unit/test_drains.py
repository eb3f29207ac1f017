"""A drain in the history: nodes that get empty, budgets that forbid it, evictions refused."""

from __future__ import annotations

from typing import Any

import pytest
from judged import NAMESPACE, Tale, at, calm

from harness.errors import UsageError
from harness.objectives import drained, restarts, shows

REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
DRAINED = drained("workload", within="grace + 4s")  # 3 s + 4 s


def placed(tale: Tale, t: float, name: str, node: str = "n1", **state: Any) -> None:
    """A state of a pod of the workload on a node."""
    tale.pod(t, name, **state)
    obj = tale.records[-1]["object"]
    obj["spec"] = {"nodeName": node}


def cordoned(tale: Tale, t: float, name: str = "n1", *, off: bool = True) -> None:
    obj = {"metadata": {"name": name, "uid": name}, "spec": {"unschedulable": off}}
    tale.add(t, "object", kind="Node", verb="MODIFIED", object=obj)


def draining(*gone: tuple[str, float]) -> Tale:
    """Pods a and b on n1, which is cordoned half a second after the injection."""
    tale = calm()
    for record in tale.records:
        if record.get("kind") == "Pod":
            record["object"]["metadata"]["labels"] = {"app": "api"}
    for name in ("a", "b"):
        placed(tale, 9, name)
    cordoned(tale, 9, off=False)
    cordoned(tale, 20.5)
    for name, t in gone:
        placed(tale, t - 1, name, ready=False, deleting=True)
        placed(tale, t, name, ready=False, deleting=True, verb="DELETED")
    return tale


def test_drained_when_the_last_pod_is_gone() -> None:
    tale = draining(("a", 23), ("b", 25))
    found = DRAINED.judge(tale.until())
    assert (found.state, found.at) == ("met", at(25))
    assert found.reason == "nodes of workload drained after 5 s"
    waiting = DRAINED.judge(tale.until(24.5))
    assert (waiting.state, waiting.before_heal) == ("open", True)
    assert "b on n1" in waiting.reason


def test_not_drained_at_its_bound() -> None:
    tale = draining(("a", 23), ("b", 28))
    assert DRAINED.judge(tale.until(27)).state == "open"
    found = DRAINED.judge(tale.until())
    assert (found.state, found.at) == ("broken", at(27))
    assert found.reason == "not drained after 7 s: b on n1"


def test_the_bound_is_scaled() -> None:
    tale = draining(("a", 23), ("b", 25))
    tale.scale = 4
    assert drained("workload", within="16s").judge(tale.until()).state == "broken"
    assert drained("workload", within="24s").judge(tale.until()).state == "met"


def test_what_goes_after_the_heal_was_not_drained() -> None:
    tale = draining(("a", 23), ("b", 45))
    found = drained("workload", within="60s").judge(tale.until())
    assert (found.state, found.before_heal) == ("open", True)


def test_pods_that_came_later_and_other_nodes_do_not_count() -> None:
    tale = draining(("a", 23), ("b", 25))
    placed(tale, 21, "c", "n2", verb="ADDED")
    placed(tale, 22, "d", "n1", verb="ADDED")
    assert DRAINED.judge(tale.until()).state == "met"


def test_nothing_is_drained_before_every_watch_had_its_say() -> None:
    tale = draining(("a", 21.5), ("b", 21.6))
    placed(tale, 9, "b", "n2")
    cordoned(tale, 22.2, "n2")
    assert DRAINED.judge(tale.until(22.1)).state == "open"


def test_where_no_node_was_cordoned_nothing_was_drained() -> None:
    tale = calm()
    placed(tale, 9, "a")
    found = DRAINED.judge(tale.until())
    assert (found.state, found.holds) == ("open", True)
    tale = draining()
    tale.records = [r for r in tale.records if r.get("kind") != "Pod"]
    assert DRAINED.judge(tale.until()).reason == "no pod of workload was ever seen"


def test_a_bound_in_words_that_no_manifest_has_is_refused() -> None:
    with pytest.raises(UsageError, match="drain-time"):
        drained("workload", within="drain-time + 5s")


def test_a_pod_that_a_drain_took_has_not_restarted() -> None:
    tale = draining(("a", 23))
    taken = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    tale.records[-2]["object"]["status"]["conditions"].append(taken)
    placed(tale, 23.5, "c", "n2", verb="ADDED")
    assert restarts("workload", at_most=0).judge(tale.until()).state == "met"


# -- budgets -------------------------------------------------------------------------------------


def budget(
    tale: Tale,
    t: float,
    allowed: int,
    *,
    healthy: int = 2,
    app: str = "api",
    verb: str = "MODIFIED",
    namespace: str = NAMESPACE,
) -> None:
    obj = {
        "metadata": {"name": "pdb", "namespace": namespace, "uid": "pdb"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed, "currentHealthy": healthy, "expectedPods": 2},
    }
    tale.add(t, "object", kind="PodDisruptionBudget", verb=verb, object=obj)


NOTHING = shows.budget("workload", allows=0)


def test_a_budget_that_stood_when_the_fault_came_counts_from_then() -> None:
    tale = draining()
    budget(tale, 5, 0, healthy=0)
    budget(tale, 8, 0)
    seen = NOTHING.seen(tale.until())
    assert seen is not None
    assert (seen.at, seen.text) == (at(20), "pdb allows 0 disruptions 0 s after injection")


@pytest.mark.parametrize(
    ("allowed", "more"),
    [
        pytest.param(1, {}, id="it allows one"),
        pytest.param(0, {"healthy": 1}, id="a pod is away already"),
        pytest.param(0, {"app": "other"}, id="of somebody else"),
        pytest.param(0, {"namespace": "elsewhere"}, id="of another namespace"),
        pytest.param(0, {"verb": "DELETED"}, id="gone"),
    ],
)
def test_a_budget_that_forbids_nothing_of_the_role(allowed: int, more: dict[str, Any]) -> None:
    tale = draining()
    budget(tale, 25, allowed, **more)
    assert NOTHING.seen(tale.until()) is None


def test_only_the_last_state_before_the_fault_stood() -> None:
    tale = draining()
    budget(tale, 8, 0)
    budget(tale, 12, 1)
    assert NOTHING.seen(tale.until()) is None


# -- evictions -----------------------------------------------------------------------------------


def attempt(tale: Tale, t: float, pod: str = "a", *, code: int = 429) -> None:
    answer, text = ("refused", REFUSED) if code == 429 else ("allowed", "")
    said = {"answer": answer, "code": str(code), "text": text, "permitted": False}
    about = {"name": "evict", "role": "workload", "by": "an operator", "target": f"Pod/{pod}"}
    tale.add(t, "attempt", **about, **said)


def test_an_eviction_that_was_refused_once() -> None:
    tale = draining()
    attempt(tale, 21, "b", code=201)
    attempt(tale, 22, "of-another-role")
    attempt(tale, 23)
    seen = shows.eviction_refused("workload").seen(tale.until())
    assert seen is not None
    assert seen.at == at(23)
    assert f"Pod/a 429: {REFUSED}" in seen.text


def test_an_eviction_that_was_refused_for_a_time() -> None:
    tale = draining()
    wanted = shows.eviction_refused("workload", during="5s")
    for t, pod, code in ((21, "a", 429), (24, "a", 201), (25, "b", 429), (29.9, "b", 429)):
        attempt(tale, t, pod, code=code)
    attempt(tale, 26, "a")
    assert wanted.seen(tale.until()) is None
    attempt(tale, 30, "b")
    seen = wanted.seen(tale.until())
    assert seen is not None
    assert seen.at == at(30)
    tale.scale = 5
    seen = wanted.seen(tale.until())
    assert seen is not None
    assert seen.at == at(29.9)


# -- requests ------------------------------------------------------------------------------------


def test_requests_that_failed_since_the_injection() -> None:
    tale = calm(answer=lambda t: (0.01, -1 if t < 12 or 30 <= t < 30.35 else 200))
    seen = shows.failed_requests(at_least=4).seen(tale.until())
    assert seen is not None
    assert at(30.3) < seen.at < at(30.4)
    assert "4 requests failed 10 s after injection: GET /: connection refused for 4" in seen.text
    assert shows.failed_requests(at_least=5).seen(tale.until()) is None


@pytest.mark.parametrize("outcome", [-4, -5])
def test_requests_that_the_generator_gave_up_have_not_failed(outcome: int) -> None:
    tale = calm(answer=lambda t: (0.01, outcome if t > 30 else 200))
    assert shows.failed_requests().seen(tale.until()) is None
