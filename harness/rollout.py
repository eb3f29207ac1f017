"""Whether a subject is up: its workloads, and if not, in which words; and its entry.

The workloads are judged from a store of watched objects and from the history of what was seen of
them, the entry by asking it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from harness.cluster.eventually import eventually
from harness.cluster.store import Store
from harness.errors import WaitTimeout
from harness.history import SECOND, History, PodTrack
from harness.manifest.exposure import liveness_round
from harness.manifest.objects import Object
from harness.manifest.probes import pod_grace

_MOMENT_S = 3.0
"""Events of failed probes arrive well within this time."""


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


def calm_needed_s(history: History, objects: Sequence[Object]) -> float:
    """How long the pods must have been undisturbed before they count as up to stay, in seconds.

    Where a liveness probe failed or a container was restarted while the subject came up: until
    every liveness probe was asked once more, for it may have one failure left. Else a moment.
    """
    rounds = [liveness_round(obj) for obj in objects]
    whole = max((span.seconds for span in rounds if span), default=0.0)
    restarted = any(pod.states[-1].restarts for pod in history.pods.values() if pod.states)
    failed = any("iveness probe failed" in event.message for event in history.events)
    return whole if restarted or failed else min(whole, _MOMENT_S)


def last_disturbance(history: History, objects: Sequence[Object], now: int) -> int:
    """When the pods were last seen to start, restart, leave readiness or be killed by a probe.

    Monotonic nanoseconds; `now` while a container that was killed has not been started again: a pod
    stays ready between the kubelet's decision and the process's end.
    """
    grace = int(max((pod_grace(obj) for obj in objects), default=0.0) * SECOND)
    latest = 0
    for pod in history.pods.values():
        if not pod.states or pod.states[-1].gone or pod.states[-1].deleting:
            continue
        begun, restarted = _ready_since(pod)
        latest = max(latest, begun)
        kills = [
            e.t
            for e in history.events
            if e.object_uid == pod.uid and e.reason == "Killing" and "probe" in e.message
        ]
        # An event can arrive after the restart that it announces; then it tells nothing for long.
        if kills and kills[-1] > restarted and now - kills[-1] < grace:
            return now
    return latest


def _ready_since(pod: PodTrack) -> tuple[int, int]:
    """(begin of the pod's present readiness without a restart, its last restart)."""
    since = restarted = pod.states[0].t
    for before, state in zip(pod.states, pod.states[1:], strict=False):
        if state.restarts > before.restarts:
            restarted = state.t
        if state.restarts > before.restarts or state.ready != before.ready:
            since = state.t
    return since, restarted


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
