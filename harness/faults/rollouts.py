"""What the faults share that are a rollout: another pod template for a workload, and back.

The ledger keeps the containers as they were; undoing puts them back, which rolls the workload back
whatever became of the new pods. Pods of the new template carry an annotation, by which they are
told from those of the old one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime

from harness.faults import workloads
from harness.faults.base import FaultContext
from harness.kube.client import ApiError
from harness.labels import DOMAIN
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "rollout"
HEALED_WITHIN = "120s"
"""A rollout back takes as long as pods take to start, one after the other."""

_ANNOTATION = f"{DOMAIN}/rollout"


async def roll_out(ctx: FaultContext, role: Role, change: Callable[[Object], None]) -> None:
    """Ledger record, then the workload's containers as `change` leaves each of them."""
    workload = await workloads.live(ctx, role)
    before = workload["spec"]["template"]["spec"]["containers"]
    after = copy.deepcopy(before)
    for container in after:
        change(container)
    name, namespace = role.ref.name, ctx.namespace_of(role.ref)
    ctx.record(
        UNDO,
        {
            "kind": role.ref.kind,
            "name": name,
            "namespace": namespace,
            "containers": before,
        },
    )
    body = _template(after, annotation=ctx.trial)
    await ctx.kube.patch(workloads.API, role.ref.kind, name, namespace, body)


async def new_pods(ctx: FaultContext, role: Role) -> list[Object]:
    """The pods of the new template."""
    return [
        pod
        for pod in await workloads.pods(ctx, role)
        if (pod["metadata"].get("annotations") or {}).get(_ANNOTATION) == ctx.trial
    ]


def running_for(status: Object) -> float | None:
    """Seconds since a container was started, to the second; None if it does not run."""
    running = (status.get("state") or {}).get("running")
    if running is None:
        return None
    started = datetime.strptime(running["startedAt"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return max(0.0, (datetime.now(UTC) - started).total_seconds())


@undo(UNDO)
async def roll_back(record: Record, world: World) -> None:
    """Heal: the containers as they were. Nothing to do if the workload is gone."""
    data = record.data
    kube = await world.kube(record)
    body = _template(data["containers"], annotation=None)
    try:
        await kube.patch(workloads.API, data["kind"], data["name"], data["namespace"], body)
    except ApiError as error:
        if not error.not_found:
            raise


def _template(containers: list[Object], *, annotation: str | None) -> Object:
    metadata = {"annotations": {_ANNOTATION: annotation}}
    return {"spec": {"template": {"metadata": metadata, "spec": {"containers": containers}}}}
