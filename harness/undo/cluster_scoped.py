"""Cluster-scoped objects of a trial: made with a ledger record, deleted by identity.

Namespaces are in `harness.undo.namespaces`; what lives in them goes with them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from harness.cluster.clusters import Cluster
from harness.kube.client import Kube
from harness.kube.eventually import eventually
from harness.labels import TRIAL, of_trial, value
from harness.undo.ledger import Entry, Ledger
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

_GONE_SECONDS = 60.0


async def create(
    kube: Kube, ledger: Ledger, obj: Mapping[str, Any], *, cluster: Cluster, trial: str
) -> Entry:
    """Apply a cluster-scoped object, recorded first and labelled with its trial."""
    labelled = copy.deepcopy(dict(obj))
    labelled["metadata"].setdefault("labels", {}).update(of_trial(trial))
    data = {
        "api_version": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
    }
    entry = ledger.record("cluster-object", data, cluster=cluster, trial=trial)
    await kube.apply(labelled)
    return entry


@undo("cluster-object")
async def _delete(record: Record, world: World) -> None:
    kube = await world.kube(record)
    api_version, kind, name = (record.data[k] for k in ("api_version", "kind", "name"))
    found = await kube.find(api_version, kind, name)
    # The record was written before the object was made: the name may be somebody else's.
    if found is None or value(found["metadata"].get("labels"), TRIAL) != record.trial:
        return
    await kube.delete(api_version, kind, name, uid=found["metadata"]["uid"])

    async def gone() -> bool:
        return await kube.find(api_version, kind, name) is None

    await eventually(gone, within=_GONE_SECONDS, what=f"{kind}/{name} gone")
