"""How long things take by what the manifests declare, each with its arithmetic in words.

Upper bounds, because they decide how long a fault must be felt before survival means anything: the
sum is delay + threshold x period + timeout + grace. The factor of 1.5 on top is applied once, by
`harness.judgement.exposure`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.manifest.objects import Object, replicas
from harness.manifest.probes import Probe, ProbeKind, probes


@dataclass(frozen=True)
class Span:
    """Seconds, and where they come from: `15 s delay + 3 x 20 s period + 1 s timeout`."""

    seconds: float
    because: str

    def __str__(self) -> str:
        return f"{_number(self.seconds)} s: {self.because}"


def liveness_kills(obj: Object) -> Span | None:
    """Until a failing liveness has killed the slowest container; `None` without the probe."""
    return _longest(obj, "liveness", _kill)


def liveness_round(obj: Object) -> Span | None:
    """Until every container's liveness has been asked once more; `None` without the probe."""
    return _longest(obj, "liveness", _round)


def readiness_removes(obj: Object) -> Span | None:
    """Until the slowest container's readiness takes the pod out of its Services; `None` without."""
    return _longest(obj, "readiness", _failing)


def readiness_returns(obj: Object) -> Span | None:
    """Until a pod that answers again is back in its Services; `None` without readiness."""
    return _longest(obj, "readiness", _return)


def startup_budget(obj: Object) -> Span | None:
    """How long the slowest container may take to start before it is killed.

    A startup probe's budget, else that of liveness, which is then what runs while it starts;
    `None` where neither is declared: it may take for ever.
    """
    return _longest(obj, "startup", _budget) or _longest(obj, "liveness", _budget)


def full_start(obj: Object) -> Span:
    """How long a workload may take until all its pods are ready, as far as its manifest says.

    Start-up budget and readiness of a pod, as often as its pods start one after the other; or its
    own progress deadline, where that is longer.
    """
    spec = obj.get("spec") or {}
    parts = [startup_budget(obj), _longest(obj, "readiness", _first_return)]
    named = [part for part in parts if part is not None]
    if spec.get("minReadySeconds"):
        named.append(Span(float(spec["minReadySeconds"]), f"{spec['minReadySeconds']} s minReady"))
    one = Span(
        sum(part.seconds for part in named),
        " + ".join(part.because for part in named) or "no time declared",
    )
    pods = replicas(obj) or 1
    ordered = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    if obj["kind"] == "StatefulSet" and ordered and pods > 1:
        one = Span(pods * one.seconds, f"{pods} x ({one.because})")
    deadline = float(spec.get("progressDeadlineSeconds") or 0)
    if deadline > one.seconds:
        return Span(deadline, f"{_number(deadline)} s progressDeadlineSeconds")
    return one


def _longest(obj: Object, kind: ProbeKind, ask: Callable[[Probe], Span]) -> Span | None:
    asked = probes(obj, kind)
    spans = [(ask(probe), probe) for probe in asked]
    if not spans:
        return None
    span, probe = max(spans, key=lambda pair: pair[0].seconds)
    several = len({each.container for each in asked}) > 1
    return Span(span.seconds, span.because + (f" ({probe.container})" if several else ""))


def _kill(probe: Probe) -> Span:
    budget = _budget(probe)
    return Span(budget.seconds + probe.grace, f"{budget.because} + {_number(probe.grace)} s grace")


def _budget(probe: Probe) -> Span:
    return _from_start(probe, _failing(probe))


def _from_start(probe: Probe, span: Span) -> Span:
    """What a probe takes, counted from the start of its container."""
    if not probe.initial_delay:
        return span
    return Span(
        probe.initial_delay + span.seconds,
        f"{_number(probe.initial_delay)} s delay + {span.because}",
    )


def _round(probe: Probe) -> Span:
    because = f"{_number(probe.period)} s period + {_number(probe.timeout)} s timeout"
    return Span(probe.period + probe.timeout, because)


def _failing(probe: Probe) -> Span:
    """Until a probe that never answers has failed often enough.

    kubelet asks again after a period, but not before the last probe has timed out.
    """
    pace, what = max((probe.period, "period"), (probe.timeout, "timeout"), key=lambda pair: pair[0])
    failures = f"{probe.failure_threshold} x {_number(pace)} s {what}"
    return Span(
        probe.failure_threshold * pace + probe.timeout,
        f"{failures} + {_number(probe.timeout)} s timeout",
    )


def _first_return(probe: Probe) -> Span:
    return _from_start(probe, _return(probe))


def _return(probe: Probe) -> Span:
    times = f"{probe.success_threshold} x " if probe.success_threshold > 1 else ""
    return Span(
        probe.success_threshold * probe.period + probe.timeout,
        f"{times}{_number(probe.period)} s period + {_number(probe.timeout)} s timeout",
    )


def _number(value: float) -> str:
    return f"{value:g}"
