"""Making a faithful configuration faster: every time that it declares, divided by one number.

What is scaled: probe periods, initial delays and graces of their own, `minReadySeconds`, a declared
`progressDeadlineSeconds`, the pod's termination grace, `sleep` lifecycle hooks. Ratios between them
stay exactly as they were, so only factors that divide all of them are accepted; values that a
manifest leaves to Kubernetes' defaults are written out and scaled, too.

What is not scaled: thresholds (they count), `timeoutSeconds` (it is measured against the speed of
the application, which does not change; where a period falls below it, a note says so), tolerations
of a lost node and autoscaler windows (they stand against timers of the cluster, which stay at their
defaults), and whatever an application is told through its own settings.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.errors import ManifestError
from harness.manifest.objects import (
    Object,
    containers,
    name_of,
    pod_spec,
    pod_template_path,
    workloads,
)
from harness.manifest.probes import (
    DEFAULT_GRACE,
    DEFAULT_PERIOD,
    DEFAULT_TIMEOUT,
    PROBE_FIELDS,
)


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Objects with every time divided, and notes on what could not be divided."""

    objects: list[Object]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Time:
    """One time in whole seconds, where it stands, and the mapping and key to write it to."""

    path: str
    holder: Object
    key: str
    seconds: int
    timeout: int = 0


def scale(objects: Sequence[Object], by: int) -> Scaled:
    """Divide every declared time by `by`; 1 gives the objects as they are.

    Raises `ManifestError` that names the times which `by` does not divide, and the nearest factor
    that divides all.
    """
    result = copy.deepcopy(list(objects))
    times = [time for obj in workloads(result) for time in _times(obj)]
    broken = [f"{time.path} is {time.seconds} s" for time in times if by > 0 and time.seconds % by]
    if broken or by < 1:
        good = good_factors(objects)
        nearest = min(good, key=lambda factor: (abs(factor - by), -factor))
        raise ManifestError(
            f"times cannot be divided by {by}: {'; '.join(broken) or 'it must be 1 or more'}",
            remedy=f"scale by {nearest} (good factors here: {', '.join(map(str, good))}), "
            "or choose times that have a larger common divisor",
        )
    if by == 1:
        return Scaled(objects=result, notes=())
    for time in times:
        time.holder[time.key] = time.seconds // by
    overtaken = [
        f"{time.path} is now below the probe's timeout: a probe without an answer is repeated "
        f"every {time.timeout} s instead of every {time.seconds // by} s"
        for time in times
        if time.seconds >= time.timeout > time.seconds // by
    ]
    return Scaled(objects=result, notes=(*overtaken, *_notes(result)))


def good_factors(*variants: Sequence[Object]) -> list[int]:
    """Every factor that divides all times of all variants, ascending; 1 is always among them.

    Give all variants of a scenario at once: they must be scaled alike.
    """
    times = [time for objects in variants for obj in workloads(objects) for time in _times(obj)]
    common = math.gcd(*(time.seconds for time in times)) or 1
    return [factor for factor in range(1, common + 1) if common % factor == 0]


def _times(obj: Object) -> Iterator[_Time]:
    """The times of a workload that are to be divided; zero ones stay zero and are left out."""
    what = f"{obj['kind']}/{name_of(obj)}"
    spec = obj.get("spec") or {}
    if obj["kind"] != "Pod":
        for key in ("minReadySeconds", "progressDeadlineSeconds"):
            if spec.get(key):
                yield _Time(path=f"{what} .spec.{key}", holder=spec, key=key, seconds=spec[key])
    pod = pod_spec(obj)
    if pod is None:
        return
    path = f"{what} {pod_template_path(obj['kind'])}.spec"
    grace = "terminationGracePeriodSeconds"
    if pod.get(grace) != 0:
        yield _Time(
            path=f"{path}.{grace}", holder=pod, key=grace, seconds=pod.get(grace) or DEFAULT_GRACE
        )
    for container in containers(obj):
        yield from _container_times(f"{path}.containers[{container.get('name')}]", container)


def _container_times(path: str, container: Object) -> Iterator[_Time]:
    for field in PROBE_FIELDS.values():
        probe = container.get(field)
        if not probe:
            continue
        for key in ("initialDelaySeconds", "terminationGracePeriodSeconds"):
            if probe.get(key):
                where = f"{path}.{field}.{key}"
                yield _Time(path=where, holder=probe, key=key, seconds=probe[key])
        yield _Time(
            path=f"{path}.{field}.periodSeconds",
            holder=probe,
            key="periodSeconds",
            seconds=probe.get("periodSeconds") or DEFAULT_PERIOD,
            timeout=probe.get("timeoutSeconds") or DEFAULT_TIMEOUT,
        )
    for hook, handler in (container.get("lifecycle") or {}).items():
        sleep = (handler or {}).get("sleep") if isinstance(handler, dict) else None
        if sleep and sleep.get("seconds"):
            where = f"{path}.lifecycle.{hook}.sleep.seconds"
            yield _Time(path=where, holder=sleep, key="seconds", seconds=sleep["seconds"])


def _notes(objects: Sequence[Object]) -> Iterator[str]:
    for obj in objects:
        what = f"{obj['kind']}/{name_of(obj)}"
        if obj["kind"] == "HorizontalPodAutoscaler" and (obj.get("spec") or {}).get("behavior"):
            yield f"{what}: windows are not scaled, they stand against the autoscaler's own 15 s"
        if any(
            each.get("tolerationSeconds") for each in (pod_spec(obj) or {}).get("tolerations") or []
        ):
            yield f"{what}: tolerationSeconds is not scaled, it stands against the node's own 50 s"
        for container in containers(obj):
            hook = ((container.get("lifecycle") or {}).get("preStop") or {}).get("exec")
            if hook:
                command = " ".join(hook.get("command") or [])
                yield f"{what}[{container.get('name')}]: preStop runs `{command}` as it is"
