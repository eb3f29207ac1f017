"""What a container's probes really ask, with Kubernetes' defaults filled in.

The times that follow from them (until a kill, until a pod leaves its Service) are computed in
`harness.manifest.exposure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.manifest.objects import Object, containers, pod_spec

ProbeKind = Literal["startup", "liveness", "readiness"]
PROBE_FIELDS: dict[ProbeKind, str] = {
    "startup": "startupProbe",
    "liveness": "livenessProbe",
    "readiness": "readinessProbe",
}

# Kubernetes API reference, types Probe and PodSpec.
DEFAULT_PERIOD = 10
DEFAULT_TIMEOUT = 1
DEFAULT_FAILURE_THRESHOLD = 3
DEFAULT_SUCCESS_THRESHOLD = 1
DEFAULT_GRACE = 30


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One probe with effective values; times in seconds.

    `grace` is what a container gets after a kill by this probe: the probe's own, else the pod's.
    `target` says what is asked, as in an event: `GET :8080/healthz`.
    """

    container: str
    kind: ProbeKind
    target: str
    period: float
    timeout: float
    failure_threshold: int
    success_threshold: int
    initial_delay: float
    grace: float


def pod_grace(obj: Object) -> float:
    """Seconds between SIGTERM and SIGKILL for the pods of a workload."""
    return float(_or((pod_spec(obj) or {}).get("terminationGracePeriodSeconds"), DEFAULT_GRACE))


def probes(obj: Object, kind: ProbeKind | None = None) -> list[Probe]:
    """The probes of all running containers of a workload (sidecars included), in their order.

    Init containers that end and ephemeral containers have none.
    """
    kinds: Sequence[ProbeKind] = [kind] if kind else list(PROBE_FIELDS)
    grace = pod_grace(obj)
    return [
        _effective(container, each, grace)
        for container in [*containers(obj, "sidecar"), *containers(obj, "app")]
        for each in kinds
        if container.get(PROBE_FIELDS[each])
    ]


def _effective(container: Object, kind: ProbeKind, grace: float) -> Probe:
    declared: Object = container[PROBE_FIELDS[kind]]
    return Probe(
        container=str(container.get("name", "")),
        kind=kind,
        target=probe_target(declared),
        period=float(_or(declared.get("periodSeconds"), DEFAULT_PERIOD)),
        timeout=float(_or(declared.get("timeoutSeconds"), DEFAULT_TIMEOUT)),
        failure_threshold=int(_or(declared.get("failureThreshold"), DEFAULT_FAILURE_THRESHOLD)),
        success_threshold=int(_or(declared.get("successThreshold"), DEFAULT_SUCCESS_THRESHOLD)),
        initial_delay=float(declared.get("initialDelaySeconds") or 0),
        # Readiness never kills, so the API refuses a grace of its own there.
        grace=float(_or(declared.get("terminationGracePeriodSeconds"), grace)),
    )


def probe_target(probe: Object) -> str:
    """What a probe asks: `GET :8080/healthz`, `TCP :5432`, `gRPC :9000`, `exec pg_isready -q`."""
    if http := probe.get("httpGet"):
        scheme = "" if http.get("scheme", "HTTP") == "HTTP" else "https "
        return f"GET {scheme}{http.get('host', '')}:{http.get('port')}{http.get('path', '/')}"
    if tcp := probe.get("tcpSocket"):
        return f"TCP {tcp.get('host', '')}:{tcp.get('port')}"
    if grpc := probe.get("grpc"):
        return f"gRPC :{grpc.get('port')} {grpc.get('service') or ''}".strip()
    command = (probe.get("exec") or {}).get("command") or []
    return f"exec {' '.join(command)}".strip()


def _or(value: float | None, default: float) -> float:
    """The declared value, or the default for an absent or (as the API does it) a zero one."""
    return value or default
