"""One thing to undo, as it is written into a ledger, and the cluster that it was done to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from harness.cluster.clusters import Cluster
from harness.redaction import redacted


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
        data = orjson.dumps(redacted(self.data)).decode()
        return f"{self.kind}{where} of trial {self.trial} ({data})"


@dataclass(frozen=True)
class Contents:
    """What a ledger file says: the records that are not marked done, newest first, and the lines
    that are JSON but no record, each with what is wrong: something may stand behind them."""

    records: tuple[Record, ...] = ()
    unreadable: tuple[str, ...] = field(default=())


def read(text: bytes) -> Contents:
    """The contents of a ledger file.

    A line that is no JSON was torn by a death or a full disk while it was written, before anything
    was changed, and is passed over. Fields of other versions of the harness are passed over, too.
    """
    records: dict[str, Record] = {}
    unreadable: list[str] = []
    for number, line in enumerate(text.split(b"\n"), start=1):
        try:
            parsed = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        try:
            if "done" in parsed:
                records.pop(parsed["done"], None)
            else:
                record = _record(parsed["record"])
                records[record.id] = record
        except (KeyError, TypeError, AttributeError) as error:
            unreadable.append(f"line {number} is no record ({type(error).__name__}: {error})")
    return Contents(tuple(reversed(records.values())), tuple(unreadable))


def _record(data: Mapping[str, Any]) -> Record:
    cluster = data["cluster"]
    known = {each.name: data[each.name] for each in fields(Record)}
    if cluster is not None:
        known["cluster"] = ClusterRef(**{f.name: cluster[f.name] for f in fields(ClusterRef)})
    return Record(**known)
