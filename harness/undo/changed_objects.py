"""Objects that are changed or added after the deployment, and put back.

The record keeps the fields that differ, as they were, and of an object that is new only its name:
it has the trial's label, by which it is known from somebody else's of that name.
"""

from __future__ import annotations

from harness.cluster.clusters import Cluster
from harness.history.facts import Json
from harness.kube.client import ApiError, Kube
from harness.labels import TRIAL, of_trial, value
from harness.manifest.objects import Object, labels_of, name_of, namespace_of
from harness.manifest.patch import is_strategic, patch
from harness.undo.ledger import Ledger
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "object"


def marked(obj: Object, trial: str) -> Object:
    """A new object with the labels of its trial."""
    labels = labels_of(obj) | of_trial(trial)
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}}


async def apply(
    kube: Kube,
    ledger: Ledger,
    after: Object,
    before: Object | None,
    *,
    cluster: Cluster,
    trial: str,
) -> None:
    """Apply `after` where `before` stands (None: nothing does, and it is `marked`), recorded first.

    Raises ApiError.
    """
    data: Json = {
        "api_version": after["apiVersion"],
        "kind": after["kind"],
        "name": name_of(after),
        "namespace": namespace_of(after),
        "back": None if before is None else patch(after, before),
        "strategic": is_strategic(after),
    }
    ledger.record(UNDO, data, cluster=cluster, trial=trial)
    await kube.apply(after)


@undo(UNDO)
async def _put_back(record: Record, world: World) -> None:
    data = record.data
    kube = await world.kube(record)
    where = (data["api_version"], data["kind"], data["name"], data["namespace"])
    if data["back"] is None:
        found = await kube.find(*where)
        # Written before it was made: the name may be somebody else's.
        if found and value(found["metadata"].get("labels"), TRIAL) == record.trial:
            await kube.delete(*where, uid=found["metadata"]["uid"])
        return
    try:
        await kube.patch(*where, data["back"], strategic=data["strategic"])
    except ApiError as error:
        if not error.not_found:
            raise
