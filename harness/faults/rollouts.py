"""What the faults share that are a rollout: another pod template for a workload, and back.

The ledger keeps the fields that are changed, as they were, and nothing else of the template: what
stands beside them may be a credential. (Of a variable that is one itself the old value is there, in
a file of its user alone, until it is undone: nothing else could put it back.) Undoing rolls the
workload back whatever became of the new pods. Pods of the new template carry an annotation, by
which they are told from those of the old one.

A restart is another one and is not undone: what it changed is one annotation with its time.
"""

from __future__ import annotations

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

RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""The annotation with which `kubectl rollout restart` changes a pod template."""

_ANNOTATION = f"{DOMAIN}/rollout"


async def roll_out(
    ctx: FaultContext,
    role: Role,
    container: str,
    *,
    image: str | None = None,
    variable: tuple[str, str] | None = None,
) -> None:
    """Ledger record, then another image for one container, or another value of a variable."""
    workload = await workloads.live(ctx, role)
    containers = workload["spec"]["template"]["spec"]["containers"]
    before = next(each for each in containers if each["name"] == container)
    there: Object = {"name": container}
    back: Object = {"name": container}
    if image is not None:
        there["image"], back["image"] = image, before["image"]
    if variable is not None:
        there["env"], back["env"] = variable_patches(before.get("env") or [], *variable)
    name, namespace = role.ref.name, ctx.namespace_of(role.ref)
    ctx.record(
        UNDO,
        {
            "kind": role.ref.kind,
            "name": name,
            "namespace": namespace,
            "fields": back,
        },
    )
    body = _template([there], annotation=ctx.trial)
    await ctx.kube.patch(workloads.API, role.ref.kind, name, namespace, body, strategic=True)


async def restart(ctx: FaultContext, role: Role) -> None:
    """What `kubectl rollout restart` does."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    body = {"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}}
    namespace = ctx.namespace_of(role.ref)
    await ctx.kube.patch(workloads.API, role.ref.kind, role.ref.name, namespace, body)


def restarted_at(obj: Object) -> str:
    """When a pod or its template was restarted last, in the words of the annotation; or empty."""
    return str((obj["metadata"].get("annotations") or {}).get(RESTARTED, ""))


def variable_patches(env: list[Object], name: str, value: str) -> tuple[list[Object], list[Object]]:
    """Strategic merges that set a variable of a container and put back what was there.

    Others stay where they are, in their order, since they may refer to each other.
    """
    new = {"name": name, "value": value}
    old = next((each for each in env if each["name"] == name), None)
    if old is None:
        return [new], [{"name": name, "$patch": "delete"}]
    # Null takes out a field that the other one does not have (`valueFrom` beside `value`).
    return [{**dict.fromkeys(old), **new}], [{**dict.fromkeys(new), **old}]


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
    """Heal: the fields as they were. Nothing to do if the workload is gone."""
    data = record.data
    kube = await world.kube(record)
    where = (workloads.API, data["kind"], data["name"], data["namespace"])
    try:
        if "fields" in data:
            body = _template([data["fields"]], annotation=None)
            await kube.patch(*where, body, strategic=True)
        else:
            # Ledgers of earlier versions hold whole containers, which replace what is there.
            await kube.patch(*where, _template(data["containers"], annotation=None))
    except ApiError as error:
        if not error.not_found:
            raise


def _template(containers: list[Object], *, annotation: str | None) -> Object:
    metadata = {"annotations": {_ANNOTATION: annotation}}
    return {"spec": {"template": {"metadata": metadata, "spec": {"containers": containers}}}}
