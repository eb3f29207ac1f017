"""Objects in a trial's namespaces that are changed or added after the deployment, and put back.

The record keeps the fields that differ, as they were, and of an object that is new only its name.
"""

from __future__ import annotations

from harness.cluster.clusters import Cluster
from harness.history.facts import Json
from harness.kube.client import ApiError, Kube, Obj
from harness.manifest.objects import Object, name_of, namespace_of
from harness.manifest.patch import is_strategic, patch
from harness.undo.ledger import Ledger
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "object"


async def apply(
    kube: Kube,
    ledger: Ledger,
    after: Object,
    before: Object | None,
    *,
    cluster: Cluster,
    trial: str,
) -> Obj:
    """Apply `after` where `before` stands (None: nothing does), recorded first. Raises ApiError."""
    data: Json = {
        "api_version": after["apiVersion"],
        "kind": after["kind"],
        "name": name_of(after),
        "namespace": namespace_of(after),
        "back": None if before is None else patch(after, before),
        "strategic": is_strategic(after),
    }
    ledger.record(UNDO, data, cluster=cluster, trial=trial)
    return await kube.apply(after)


@undo(UNDO)
async def _put_back(record: Record, world: World) -> None:
    data = record.data
    kube = await world.kube(record)
    where = (data["api_version"], data["kind"], data["name"], data["namespace"])
    if data["back"] is None:
        await kube.delete(*where)
        return
    try:
        await kube.patch(*where, data["back"], strategic=data["strategic"])
    except ApiError as error:
        if not error.not_found:
            raise
