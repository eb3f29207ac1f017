"""Who changed what: the audit log of the control plane, read in steps and narrowed to namespaces.

Every kind-config carries an audit policy that writes one JSON object a line to `PATH` in each
control-plane node. Each API server writes its own file, rotated by size. Clusters that are not
ours have no log that can be read here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from harness.errors import ClusterError
from harness.nodes.nodes import NodeCommands

PATH = "/var/log/kubernetes/audit.log"
# One read brings at most this much, so that a storm of writes cannot fill our memory.
_CHUNK_BYTES = 16 * 1024 * 1024
_CHANGING = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """One request that changed something, or tried to: `code` is the HTTP status of the answer.

    `message` is the server's own words where it refused. `at` is the API server's own time of
    reception (RFC 3339, microseconds). `body` is what was sent, where the policy records it
    (updates and patches), else None.
    """

    id: str
    at: str
    user: str
    agent: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    reason: str
    message: str
    body: Any

    def __str__(self) -> str:
        what = "/".join(part for part in (self.resource, self.name, self.subresource) if part)
        return f"{self.at} {self.user} {self.verb} {what} in {self.namespace or '-'}: {self.code}"


@dataclass
class _Position:
    inode: int
    offset: int


class AuditLog:
    """The audit logs of one cluster's control-plane nodes, read from where the last read ended."""

    def __init__(
        self, nodes: NodeCommands, control_planes: Sequence[str], *, path: str = PATH
    ) -> None:
        self._nodes = nodes
        self._control_planes = control_planes
        self._path = path
        self._positions: dict[str, _Position] = {}

    async def start(self) -> None:
        """From now on: what is in the logs already is passed over."""
        for node in self._control_planes:
            inode, size = await self._stat(node)
            self._positions[node] = _Position(inode, size)

    async def read(self, namespaces: Iterable[str]) -> list[AuditRecord]:
        """What came since the last call and concerns these namespaces, in order of time.

        Raises `ClusterError` if a log cannot be read.
        """
        wanted = frozenset(namespaces)
        found: list[AuditRecord] = []
        for node in self._control_planes:
            for line in await self._lines(node):
                record = parse(line)
                if record is not None and concerns(record, wanted):
                    found.append(record)
        return sorted(found, key=lambda record: record.at)

    async def _lines(self, node: str) -> list[bytes]:
        inode, size = await self._stat(node)
        position = self._positions.setdefault(node, _Position(inode, 0))
        lines: list[bytes] = []
        if position.inode != inode:
            # Rotated: the rest of what we were reading has another name now.
            old = await self._run(
                node,
                f"find {shlex.quote(_folder(self._path))} -inum {position.inode} -print -quit",
            )
            if old.strip():
                lines += await self._from(node, old.decode().strip(), position)
            position.inode, position.offset = inode, 0
        while position.offset < size:
            before = position.offset
            lines += await self._from(node, self._path, position)
            if position.offset == before:
                break  # the last line is still being written
        return lines

    async def _from(self, node: str, path: str, position: _Position) -> list[bytes]:
        chunk = await self._run(
            node,
            f"tail -c +{position.offset + 1} {shlex.quote(path)} | head -c {_CHUNK_BYTES}",
        )
        whole = chunk[: chunk.rfind(b"\n") + 1]
        position.offset += len(whole)
        return whole.splitlines()

    async def _stat(self, node: str) -> tuple[int, int]:
        inode, size = (await self._run(node, f"stat -c '%i %s' {shlex.quote(self._path)}")).split()
        return int(inode), int(size)

    async def _run(self, node: str, script: str) -> bytes:
        done = await self._nodes.run(node, ["bash", "-c", script], timeout=30)
        if done.code != 0:
            raise ClusterError(
                f"cannot read the audit log {self._path} on {node}: {done.error}",
                remedy="The cluster was made without an audit policy; rebuild it with"
                " `harness up --rebuild`.",
            )
        return done.stdout


def parse(line: bytes) -> AuditRecord | None:
    """The record of one line; None if it is no finished request that changes something."""
    event = orjson.loads(line)
    if event.get("stage") not in ("ResponseComplete", "Panic") or event["verb"] not in _CHANGING:
        return None
    target = event.get("objectRef") or {}
    status = event.get("responseStatus") or {}
    return AuditRecord(
        id=event["auditID"],
        at=event["requestReceivedTimestamp"],
        user=(event.get("user") or {}).get("username", ""),
        agent=event.get("userAgent", ""),
        verb=event["verb"],
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=int(status.get("code") or 0),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        body=event.get("requestObject"),
    )


def concerns(record: AuditRecord, namespaces: frozenset[str]) -> bool:
    """Whether it changed something in these namespaces, or one of them itself."""
    if record.resource == "namespaces":
        return record.name in namespaces
    return record.namespace in namespaces


def _folder(path: str) -> str:
    return path.rsplit("/", 1)[0]
