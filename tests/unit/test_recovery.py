"""When a subject was well again: whole, and serving."""

from __future__ import annotations

from judged import at, calm

from harness.judgement.recovery import recovered_at


def test_recovered_at_the_heal_if_all_is_well_then() -> None:
    assert recovered_at(calm().until()) == calm().until().healed_at


def test_recovered_when_the_last_replica_is_ready() -> None:
    tale = calm()
    tale.pod(30, "a", ready=False)
    tale.pod(47, "a")
    assert recovered_at(tale.until()) == at(47)


def test_recovered_when_requests_succeed_though_all_were_ready_before() -> None:
    tale = calm(answer=lambda t: (0.01, 502 if 35 < t < 45 else 200))
    got = recovered_at(tale.until())
    assert got is not None
    # Looked for every quarter of a second.
    assert abs(got - at(45)) / 1e9 <= 0.25


def test_ready_for_a_moment_while_nothing_is_served_is_no_recovery() -> None:
    tale = calm(answer=lambda t: (0.01, 502 if t < 50 else 200))
    tale.pod(30, "a", ready=False)
    tale.pod(43, "a")
    tale.pod(44, "a", ready=False)
    tale.pod(52, "a")
    assert recovered_at(tale.until()) == at(52)


def test_not_recovered() -> None:
    tale = calm()
    tale.pod(30, "a", ready=False)
    assert recovered_at(tale.until()) is None
    assert recovered_at(calm(answer=lambda t: (0.01, 502 if t > 30 else 200)).until()) is None
    assert recovered_at(calm().until(39)) is None


def test_stretch_with_a_request_in_flight_is_waited_for() -> None:
    # The request of second 41.0 takes four seconds; at 45 nobody knows whether it will fail.
    tale = calm(answer=lambda t: (4.5, 200) if abs(t - 41) < 0.01 else (0.01, 200))
    assert recovered_at(tale.until(45)) is None
    assert recovered_at(tale.until(46)) == tale.until().healed_at
