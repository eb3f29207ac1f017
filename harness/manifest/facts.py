"""What judgement needs to know of the manifests, role by role: `harness.history.facts.Facts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.history.facts import Facts, RoleFacts
from harness.manifest.exposure import (
    Span,
    liveness_kills,
    readiness_removes,
    readiness_returns,
    startup_budget,
)
from harness.manifest.objects import (
    Object,
    find,
    name_of,
    namespace_of,
    pods_of_role,
    ref_of,
    replicas,
    service_port,
)
from harness.manifest.probes import pod_grace
from harness.manifest.subject_file import Role


def facts(objects: Sequence[Object], roles: Mapping[str, Role], *, scale: int = 1) -> Facts:
    """The facts of every role; raises `ManifestError` for a role whose object is not there.

    `objects` are those that are applied: rendered, scaled, and in the trial's namespaces. A role
    with several workloads gets the longest time of all.
    """
    return Facts(
        roles={name: _facts(objects, name, role) for name, role in roles.items()}, scale=scale
    )


def _facts(objects: Sequence[Object], name: str, role: Role) -> RoleFacts:
    found = find(objects, role.ref)
    behind = pods_of_role(objects, role.ref)
    spans = {
        "liveness_s": _longest([liveness_kills(obj) for obj in behind]),
        "readiness_out_s": _longest([readiness_removes(obj) for obj in behind]),
        "readiness_back_s": _longest([readiness_returns(obj) for obj in behind]),
        "startup_s": _longest([startup_budget(obj) for obj in behind]),
    }
    grace = max((pod_grace(obj) for obj in behind), default=0.0)
    port = service_port(found, role.ref.port)["port"] if role.ref.kind == "Service" else None
    return RoleFacts(
        role=name,
        ref=f"{role.ref.kind}/{role.ref.name}",
        namespace=namespace_of(found) or "",
        port=port,
        workloads=tuple(f"{ref_of(obj).kind}/{name_of(obj)}" for obj in behind),
        replicas=sum(_pods(obj) for obj in behind),
        **{key: span.seconds if span else None for key, span in spans.items()},
        grace_s=grace,
        why={key: span.because for key, span in spans.items() if span}
        | {"grace_s": f"{grace:g} s grace"},
    )


def _longest(spans: Sequence[Span | None]) -> Span | None:
    return max((span for span in spans if span), key=lambda span: span.seconds, default=None)


def _pods(obj: Object) -> int:
    """Declared pods; 1 where the cluster decides (a DaemonSet)."""
    declared = replicas(obj)
    return 1 if declared is None else declared
