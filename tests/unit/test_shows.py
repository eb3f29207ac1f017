"""What a variant must show: where it is seen first, and what does not count."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from judged import Tale, at, calm

from harness.declare import Observable, Sighting
from harness.errors import UsageError
from harness.objectives import shows

UNHEALTHY = "Liveness probe failed: context deadline exceeded"


def seen_at(sighting: Sighting | None) -> int | None:
    return sighting.at if sighting else None


def test_event_is_the_first_since_injection_that_fits() -> None:
    tale = calm()
    for t, name, reason, message in (
        (15, "a", "Unhealthy", UNHEALTHY),
        (25, "a", "Unhealthy", "Readiness probe failed"),
        (26, "a", "Killing", UNHEALTHY),
        (27, "a", "Unhealthy", UNHEALTHY),
        (28, "b", "Unhealthy", UNHEALTHY),
    ):
        tale.event(t, name, reason, message)
    wanted = shows.event("Unhealthy", on="workload", message="Liveness probe failed")
    got = wanted.seen(tale.until())
    assert got == Sighting(at(27), f"Unhealthy on a 7 s after injection: {UNHEALTHY}")


def test_event_on_another_workload_does_not_count() -> None:
    tale = calm()
    tale.deployment("checkout-worker")
    tale.pod(8, "w", of="checkout-worker")
    tale.event(25, "w", "Unhealthy", UNHEALTHY)
    assert shows.event("Unhealthy").seen(tale.until()) is None


def test_event_on_the_workload_itself_counts() -> None:
    tale = calm()
    tale.event(25, "checkout-api", "ScalingReplicaSet", kind="Deployment")
    assert seen_at(shows.event("ScalingReplicaSet").seen(tale.until())) == at(25)


def test_failed_requests_are_seen_at_the_one_that_makes_them_enough() -> None:
    # Ten requests a second; those of the control run are refused as well.
    tale = calm(answer=lambda t: (0.5, -1) if t < 15 or 30 <= t < 31 else (0.01, 200))
    refused = shows.failed_requests(how=["503", "connection refused"], at_least=3)
    got = refused.seen(tale.until())
    assert got is not None
    assert at(30.7) <= got.at <= at(30.8)
    assert got.text.startswith("3 requests failed 11 s after injection")
    assert refused.seen(tale.until(30.6)) is None
    assert shows.failed_requests(how=["connection refused"], at_least=11).seen(tale.until()) is None
    assert shows.failed_requests(how=["503"]).seen(tale.until()) is None
    assert shows.failed_requests().seen(tale.until()) is not None


@pytest.mark.parametrize("how", [["broken"], ["503", "200"], ["-1"], [""], "503"])
def test_a_way_in_which_no_request_fails_is_refused(how: Sequence[str]) -> None:
    with pytest.raises(UsageError, match="no request fails as"):
        shows.failed_requests(how=how)


def count(tale: Tale, t: float, value: int, since: float | None, *, pod: str = "a") -> None:
    name = "failed_liveness_probes"
    earlier = None if since is None else at(since)
    tale.add(t, "sample", name=name, pod=pod, pod_uid=f"uid-{pod}", value=value, since=earlier)


def test_a_failed_probe_is_shown_by_its_event() -> None:
    tale = calm()
    tale.event(24, "a", "Unhealthy", "Readiness probe failed: timeout")
    tale.event(27, "a", "Unhealthy", UNHEALTHY)
    count(tale, 30, 1, 25)
    assert seen_at(shows.probe_failed("workload", "liveness").seen(tale.until())) == at(27)


def test_a_failed_probe_is_shown_by_the_kubelets_count_when_events_ran_out() -> None:
    tale = calm()
    count(tale, 30, 4, 25)
    count(tale, 35, 5, 30)
    got = shows.probe_failed("workload", "liveness").seen(tale.until())
    assert got == Sighting(at(30), "4 failed liveness probes of a counted 10 s after injection")
    assert shows.probe_failed("workload", "startup").seen(tale.until()) is None


@pytest.mark.parametrize(
    ("t", "since", "pod"),
    [
        pytest.param(24, 19, "a", id="may have failed before injection"),
        pytest.param(24, None, "a", id="the node's first reading"),
        pytest.param(63, 61, "a", id="while the subject was taken away"),
        pytest.param(30, 25, "elsewhere", id="of another role"),
    ],
)
def test_a_count_that_the_fault_did_not_raise_shows_nothing(
    t: float, since: float | None, pod: str
) -> None:
    tale = calm()
    count(tale, t, 3, since, pod=pod)
    assert shows.probe_failed("workload", "liveness").seen(tale.until()) is None


@pytest.mark.parametrize(("sent", "hint"), [(24, ""), (25, "all the 25 warnings")])
def test_an_event_that_is_missing_may_have_been_held_back(sent: int, hint: str) -> None:
    tale = calm()
    for number in range(1, sent - 1):
        tale.event(25 + number / 2, "a", "Unhealthy", "Startup probe failed", warnings=number)
    tale.event(40, "a", "Unhealthy", "Liveness probe failed", warnings=2)
    tale.event(41, "b", "Unhealthy", "Liveness probe failed", warnings=3)
    assert hint in shows.event("BackOff").hidden(tale.until())
    assert bool(hint) == bool(shows.event("BackOff").hidden(tale.until()))
    assert not shows.event("Killing").hidden(tale.until())


def test_an_unknown_probe_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no probe is called 'health'"):
        shows.probe_failed("workload", "health")  # type: ignore[arg-type]


def test_restart_of_every_replica_is_seen_with_the_last_of_them() -> None:
    tale = calm()
    tale.pod(25, "a", restarts=1)
    tale.pod(26, "a", restarts=2)
    wanted = shows.restarts("workload", every_replica=True)
    assert wanted.seen(tale.until()) is None
    assert seen_at(shows.restarts("workload", at_least=2).seen(tale.until())) == at(26)
    tale.pod(30, "b", restarts=1)
    assert wanted.seen(tale.until()) == Sighting(
        at(30), "3 restarts on 2 of 2 replicas 10 s after injection"
    )


def test_ready_within_the_time_shortened_by_the_scale() -> None:
    tale = calm(scale=5)
    tale.pod(30, "a", ready=False)
    tale.pod(38, "b", ready=False)
    assert seen_at(shows.ready("workload", equals=0, within="90s").seen(tale.until())) == at(38)
    assert shows.ready("workload", equals=0, within="85s").seen(tale.until()) is None


def killed(t: float) -> dict[str, object]:
    return {"exitCode": 137, "reason": "OOMKilled", "finishedAt": str(t)}


def test_terminated_by_reason_and_exit_code() -> None:
    tale = calm()
    tale.pod(33, "a", restarts=1, last=killed(33))
    tale.pod(30, "b", restarts=1, last={"exitCode": 1, "reason": "Error", "finishedAt": "30"})
    history = tale.until()
    assert seen_at(shows.terminated("workload", reason="OOMKilled").seen(history)) == at(33)
    assert seen_at(shows.terminated("workload", exit_code=1).seen(history)) == at(30)
    assert shows.terminated("workload", reason="OOMKilled", exit_code=1).seen(history) is None


def test_first_of_all_pods_is_what_is_seen() -> None:
    tale = calm()
    tale.pod(35, "a", restarts=1, last=killed(35))
    tale.pod(30, "b", restarts=1, last=killed(30))
    assert seen_at(shows.terminated("workload", exit_code=137).seen(tale.until())) == at(30)


def test_what_had_ended_before_the_fault_is_not_of_the_fault() -> None:
    tale = calm()
    tale.pod(12, "a", restarts=1, last=killed(12))
    tale.pod(25, "a", ready=False, restarts=1, last=killed(12))
    assert shows.terminated("workload", exit_code=137).seen(tale.until()) is None
    tale.pod(30, "a", restarts=2, last=killed(30))
    assert seen_at(shows.terminated("workload", exit_code=137).seen(tale.until())) == at(30)


def test_waiting() -> None:
    tale = calm()
    tale.pod(15, "a", ready=False, waiting="CrashLoopBackOff")
    tale.pod(30, "b", ready=False, waiting="CrashLoopBackOff")
    wanted = shows.waiting("workload", reason="CrashLoopBackOff")
    assert wanted.seen(tale.until()) == Sighting(at(30), "b/app 10 s after injection")


def removal() -> Tale:
    """A trial whose pods we delete ourselves, with SIGKILL after their grace."""
    tale = calm()
    for name in ("a", "b"):
        gone = {"exitCode": 137, "reason": "Error", "finishedAt": "62"}
        tale.pod(62.1, name, ready=False, deleting=True, ended=gone, restarts=1)
        tale.event(62.1, name, "Killing", "Stopping container app")
    return tale


@pytest.mark.parametrize(
    "wanted",
    [
        shows.ready("workload", equals=0, within="90s"),
        shows.terminated("workload", exit_code=137),
        shows.event("Killing"),
        shows.restarts("workload"),
    ],
)
def test_what_we_do_ourselves_at_removal_shows_nothing(wanted: Observable) -> None:
    assert wanted.seen(removal().until()) is None


@pytest.mark.parametrize(
    "wanted",
    [
        shows.event("Unhealthy"),
        shows.restarts("workload"),
        shows.ready("workload"),
        shows.terminated("workload"),
        shows.waiting("workload", reason="x"),
    ],
)
def test_nothing_is_seen_before_the_fault(wanted: Observable) -> None:
    tale = calm()
    tale.event(15, "a", "Unhealthy")
    tale.pod(15, "a", ready=False, restarts=1, last=killed(15), waiting="x")
    tale.pod(16, "b", ready=False)
    assert wanted.seen(tale.until(19)) is None
