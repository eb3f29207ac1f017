"""Whether a subject is up: its workloads, and if not, in which words; and its entry.

The workloads are judged from a store of watched objects, the entry by asking it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from harness.cluster.eventually import eventually
from harness.cluster.store import Store
from harness.errors import WaitTimeout
from harness.manifest.objects import Object


def unready(store: Store, objects: Sequence[Object]) -> list[str]:
    """One line for each workload that is not fully rolled out and ready."""
    lines = []
    for obj in objects:
        kind = obj["kind"]
        if kind not in ("Deployment", "StatefulSet", "DaemonSet"):
            continue
        name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
        live = store.get(kind, name, namespace)
        ready, wanted = progress(live) if live is not None else (0, 1)
        if live is None or ready < wanted:
            lines.append(f"{kind}/{name} {ready} of {wanted}{why(store, namespace, name)}")
    return lines


def progress(live: Object) -> tuple[int, int]:
    """(ready pods of the newest template, pods wanted) of a live workload."""
    status = live.get("status") or {}
    current = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    if live["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 1)
        ready = min(status.get("updatedNumberScheduled", 0), status.get("numberReady", 0))
    else:
        wanted = live["spec"].get("replicas", 1)
        ready = min(status.get("updatedReplicas", 0), status.get("readyReplicas", 0))
    return (ready if current else 0), wanted


def why(store: Store, namespace: str, workload: str) -> str:
    """What the pods of a workload are waiting for, in brackets; empty if nothing is known."""
    reasons = set()
    for pod in store.all("Pod", namespace):
        if not pod["metadata"]["name"].startswith(f"{workload}-"):
            continue
        status = pod.get("status") or {}
        for c in status.get("containerStatuses", []):
            waiting = c.get("state", {}).get("waiting")
            if waiting:
                reasons.add(f"{c['name']}: {waiting.get('reason')} {waiting.get('message', '')}")
        for condition in status.get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                reasons.add(f"{condition.get('reason')}: {condition.get('message')}")
    return f" ({'; '.join(sorted(r.strip() for r in reasons))})" if reasons else ""


async def entry_answers(url: str, *, within: float) -> bool:
    """Wait until somebody behind `url` answers an HTTP request, whatever it says.

    A new NodePort exists before every node has its rules: a load that began at once would count
    the nodes' delay against the subject.
    """
    parts = urlsplit(url)

    async def answered() -> bool:
        # A connection may be taken and then dropped on the way, so only an answer counts.
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(f"GET / HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
                return (await reader.read(5)).startswith(b"HTTP")
            finally:
                writer.close()

    try:
        return await eventually(answered, within=within, every=0.1, what=f"an answer of {url}")
    except WaitTimeout:
        return False
