"""The audit log, read in steps from a local file: rotation, torn lines, what concerns whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ClusterError
from harness.host.processes import Completed
from harness.nodes.audit import AuditLog, parse


class ThisHost:
    """Node commands that run here."""

    async def run(
        self, node: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60
    ) -> Completed:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        return Completed(argv=tuple(argv), code=process.returncode or 0, stdout=out, stderr=err)


def line(name: str, *, namespace: str = "ns", at: str = "1", **more: Any) -> str:
    event = {
        "auditID": f"id-{name}",
        "stage": "ResponseComplete",
        "requestReceivedTimestamp": at,
        "verb": "patch",
        "user": {"username": "kubernetes-admin"},
        "userAgent": "kubectl/v1.36",
        "objectRef": {
            "apiGroup": "apps",
            "resource": "deployments",
            "subresource": "scale",
            "namespace": namespace,
            "name": name,
        },
        "responseStatus": {"code": 200},
        "requestObject": {"spec": {"replicas": 1}},
        **more,
    }
    return json.dumps(event) + "\n"


def namespace_line(name: str) -> str:
    return line(name, objectRef={"resource": "namespaces", "name": name}, verb="delete")


def test_who_changed_what() -> None:
    record = parse(line("web").encode())
    assert record is not None
    assert (record.user, record.verb, record.resource, record.subresource) == (
        "kubernetes-admin",
        "patch",
        "deployments",
        "scale",
    )
    assert record.code == 200
    assert record.body == {"spec": {"replicas": 1}}


def test_a_refused_create_keeps_its_words() -> None:
    words = 'pods "web-5f" is forbidden: exceeded quota: compute-resources'
    answer = {"code": 403, "reason": "Forbidden", "message": words}
    record = parse(line("web-5f", verb="create", responseStatus=answer).encode())
    assert record is not None
    assert (record.verb, record.code, record.message) == ("create", 403, words)


def test_reads_and_unfinished_requests_are_no_changes() -> None:
    assert parse(line("web", verb="get").encode()) is None
    assert parse(line("web", stage="ResponseStarted").encode()) is None


@pytest.mark.asyncio
class TestReading:
    async def test_only_what_is_new_and_concerns_the_namespaces(self, tmp_path: Path) -> None:
        file = tmp_path / "audit.log"
        file.write_text(line("old"))
        log = AuditLog(ThisHost(), ["cp"], path=str(file))
        await log.start()
        assert await log.read(["ns"]) == []
        with file.open("a") as out:
            out.write(line("b", at="3") + line("elsewhere", namespace="other"))
            out.write(line("a", at="2") + namespace_line("ns") + line("torn")[:20])
        assert [record.name for record in await log.read(["ns"])] == ["ns", "a", "b"]
        assert await log.read(["ns"]) == []
        with file.open("a") as out:
            out.write(line("torn")[20:])
        assert [record.name for record in await log.read(["ns"])] == ["torn"]

    async def test_a_rotation_between_two_reads_loses_nothing(self, tmp_path: Path) -> None:
        file = tmp_path / "audit.log"
        file.write_text(line("old"))
        log = AuditLog(ThisHost(), ["cp"], path=str(file))
        await log.start()
        with file.open("a") as out:
            out.write(line("before", at="1"))
        file.rename(tmp_path / "audit-2026-01-01.log")
        file.write_text(line("after", at="2"))
        assert [record.name for record in await log.read(["ns"])] == ["before", "after"]

    async def test_more_than_one_chunk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("harness.nodes.audit._CHUNK_BYTES", 700)
        file = tmp_path / "audit.log"
        file.write_text("")
        log = AuditLog(ThisHost(), ["cp"], path=str(file))
        await log.start()
        file.write_text("".join(line(f"n{index}", at=str(index)) for index in range(9)))
        assert len(await log.read(["ns"])) == 9

    async def test_a_cluster_without_an_audit_log_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(ClusterError, match="cannot read the audit log"):
            await AuditLog(ThisHost(), ["cp"], path=str(tmp_path / "none")).start()
