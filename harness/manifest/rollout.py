"""How far a live workload is with its newest template: one rule for all who wait for that."""

from __future__ import annotations

from dataclasses import dataclass

from harness.manifest.objects import Object


@dataclass(frozen=True)
class Rollout:
    """`done` of `wanted` pods are of the newest template and available.

    `complete` once all are and no older one is left; nothing is before its controller has seen the
    template.
    """

    done: int
    wanted: int
    complete: bool


def rollout(live: Object) -> Rollout:
    """The state that a Deployment, StatefulSet or DaemonSet says of itself."""
    status = live.get("status") or {}
    wanted = live["spec"].get("replicas", status.get("desiredNumberScheduled", 1))
    newest = status.get("updatedReplicas", status.get("updatedNumberScheduled", 0))
    available = status.get("availableReplicas", status.get("numberAvailable", 0))
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return Rollout(0, wanted, complete=False)
    done = min(newest, available)
    return Rollout(done, wanted, done >= wanted and status.get("replicas", newest) == newest)
