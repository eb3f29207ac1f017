"""One thing to undo, as it is written into a ledger, and the cluster that it was done to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from harness.cluster.clusters import Cluster


@dataclass(frozen=True, kw_only=True)
class ClusterRef:
    """What it takes to find a cluster again and to know that it is the same one."""

    name: str
    uid: str
    kubeconfig: str
    context: str

    @classmethod
    def of(cls, cluster: Cluster) -> ClusterRef:
        return cls(
            name=cluster.name,
            uid=cluster.uid,
            kubeconfig=str(cluster.kubeconfig),
            context=cluster.context,
        )

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> ClusterRef:
        """As it was written down; fields of other versions of the harness are passed over."""
        return cls(**{each.name: data[each.name] for each in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class Record:
    """One thing to undo. `cluster` is None for what is on this host only; `wall` in seconds since
    the epoch; `module` defines the undo, so that another process can find it."""

    id: str
    kind: str
    module: str
    cluster: ClusterRef | None
    trial: str
    data: Mapping[str, Any]
    wall: float

    def __str__(self) -> str:
        where = f" on {self.cluster.name}" if self.cluster else ""
        return f"{self.kind}{where} of trial {self.trial} ({orjson.dumps(self.data).decode()})"
