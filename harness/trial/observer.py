"""What a trial watches: every change of its objects goes into the history as it arrives.

Pods, events, workloads, endpoints, budgets and claims of the trial's namespaces, nodes and volume
attachments of the cluster, and the last words of containers that crashed. The watching itself is
in `harness.kube.watch`; this module decides what is watched and what of it is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

from harness.history.facts import Json
from harness.history.history import History
from harness.history.writer import Writer
from harness.host.cpu import cpu_use
from harness.kube.background import background
from harness.kube.changes import Blindness, Change, WatchSpec
from harness.kube.client import Kube
from harness.kube.crash_logs import CrashLog, CrashLogs, crash_logs
from harness.kube.kubelet import FailedProbes, PodCpu, WorkingSet, failed_probes, resources
from harness.kube.responses import ApiError, UnreachableError
from harness.kube.store import Store
from harness.kube.watch import Watcher
from harness.labels import TRIAL
from harness.units import quantity_bytes

_NAMESPACED = (
    ("v1", "Pod"),
    ("v1", "Event"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Service"),
    ("v1", "Secret"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("policy/v1", "PodDisruptionBudget"),
)
_CLUSTER = (("v1", "Node"), ("storage.k8s.io/v1", "VolumeAttachment"))

_SYNC_S = 60.0
_SAMPLE_S = 5.0
_LOGS_S = 5.0


class ProbeCounts:
    """Writes a `sample` for each kubelet's count of failed probes that has grown."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._counts: dict[tuple[str, str, str], int] = {}
        self._asked: dict[str, int] = {}

    def take(self, node: str, counts: Sequence[FailedProbes], asked: int) -> None:
        """A node's reading, asked for at this monotonic nanosecond.

        `since` in the record is when the reading before it was asked for: what was counted lies
        between the two. None for a node's first reading.
        """
        for each in counts:
            which = (each.pod_uid, each.container, each.probe)
            if each.value == self._counts.get(which):
                continue
            self._counts[which] = each.value
            self._writer.append(
                "sample",
                name=f"failed_{each.probe}_probes",
                pod=each.pod,
                pod_uid=each.pod_uid,
                container=each.container,
                value=each.value,
                since=self._asked.get(node),
            )
        self._asked[node] = asked


class SiblingCpu:
    """Sums up what the pods of other trials use from the first look on; pods come and go."""

    def __init__(self) -> None:
        self._used: PodCpu | None = None
        self._total = 0.0

    def take(self, pods: PodCpu, namespaces: Collection[str]) -> float:
        """CPU seconds so far, by one more reading of all pods."""
        now = {pod: used for pod, used in pods.items() if pod[0] in namespaces}
        before = now if self._used is None else self._used
        self._total += sum(max(0.0, used - before.get(pod, 0.0)) for pod, used in now.items())
        # A node that did not answer this time has its pods still.
        self._used = before | now
        return self._total


class Observer:
    """Watches for the length of a scope; `store` has the latest objects, `history` all of them."""

    def __init__(self, kube: Kube, history: History, writer: Writer) -> None:
        self.kube = kube
        self.history = history
        self.store = Store()
        self._writer = writer
        self._crash_logs: CrashLogs

    @asynccontextmanager
    async def watching(self, namespaces: Sequence[str]) -> AsyncIterator[Observer]:
        """Watch these namespaces and the cluster's nodes; entered once all lists are in."""
        specs = [
            WatchSpec(api_version=api, kind=kind, namespace=namespace)
            for namespace in namespaces
            for api, kind in _NAMESPACED
        ]
        specs += [WatchSpec(api_version=api, kind=kind) for api, kind in _CLUSTER]
        async with (
            crash_logs(self.kube, self._crashed) as self._crash_logs,
            Watcher(self.kube, specs, self._changed, self._blind) as watcher,
            background(self._sample(frozenset(namespaces)), self._writer.failed()),
        ):
            await watcher.synced(within=_SYNC_S)
            yield self
            # Logs of the last crash are evidence: they are waited for, within reason.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._crash_logs.settled(), _LOGS_S)

    async def _sample(self, namespaces: frozenset[str]) -> None:
        """What kubelets count of the subject's containers, as often as they renew it, and who
        had the machine meanwhile."""
        probes = ProbeCounts(self._writer)
        siblings = SiblingCpu()
        while True:
            nodes = [node["metadata"]["name"] for node in self.store.all("Node")]
            found = await resources(self.kube, nodes, namespaces)
            self._writer.append(
                "machine",
                nodes={node: asdict(each) for node, each in found.nodes.items()},
                siblings=siblings.take(found.pods, await self._of_other_trials()),
                **asdict(cpu_use()),
            )
            for each in found.memory:
                self._writer.append(
                    "sample",
                    pod=each.pod,
                    container=each.container,
                    name="memory_bytes",
                    value=each.value,
                    limit=self._memory_limit(each),
                )
            asked = time.monotonic_ns()
            for node, counts in (await failed_probes(self.kube, nodes, namespaces)).items():
                probes.take(node, counts, asked)
            await asyncio.sleep(_SAMPLE_S)

    async def _of_other_trials(self) -> frozenset[str]:
        """Namespaces of trials that run beside this one."""
        try:
            found = await self.kube.list("v1", "Namespace", labels=TRIAL)
        except (ApiError, UnreachableError):
            return frozenset()  # that nobody answers is recorded by the watches
        own = self.history.trial.get("trial")
        return frozenset(
            each["metadata"]["name"] for each in found if each["metadata"]["labels"][TRIAL] != own
        )

    def _memory_limit(self, of: WorkingSet) -> int | None:
        pod = self.store.get("Pod", of.pod, of.namespace)
        for container in pod["spec"]["containers"] if pod is not None else ():
            if container["name"] == of.container:
                limit = (container.get("resources") or {}).get("limits", {}).get("memory")
                return quantity_bytes(limit) if limit is not None else None
        return None

    def active_faults(self) -> list[str]:
        """For failing waits: what is broken right now, by the trial's own record."""
        if self.history.phase("inject") is None or self.history.phase("heal") is not None:
            return []
        return [str(self.history.trial.get("onset") or "a fault is injected")]

    def recent_warnings(self) -> list[str]:
        """For failing waits: the latest Warning events."""
        warnings = [e for e in self.history.events if e.type == "Warning"]
        return [f"{e.reason} {e.kind}/{e.name}: {e.message}" for e in warnings[-8:]]

    def _changed(self, change: Change) -> None:
        self.store.feed(change)
        self._writer.append(
            "object",
            t=change.monotonic_ns,
            kind=change.kind,
            verb=change.verb,
            namespace=change.namespace,
            name=change.name,
            relisted=change.relisted,
            object=trimmed(change.object),
        )
        self._crash_logs.feed(change)

    def _blind(self, blindness: Blindness) -> None:
        if blindness.lasting and blindness.ended_ns is None:
            message = f"{blindness.spec} can no longer be watched: {blindness.reason}"
            self._writer.append("problem", blame="harness", message=message)
            return
        edge = "begin" if blindness.ended_ns is None else "end"
        self._writer.append(
            "blind",
            t=blindness.ended_ns or blindness.began_ns,
            what=str(blindness.spec),
            edge=edge,
            reason=blindness.reason,
            lost=blindness.lost,
        )

    def _crashed(self, log: CrashLog) -> None:
        crash = log.crash
        self._writer.append(
            "log",
            pod=crash.pod,
            container=crash.container,
            previous=crash.previous,
            restart=crash.restarts,
            exit_code=crash.exit_code,
            reason=crash.reason,
            text=log.text,
            missing=log.missing,
        )


def trimmed(obj: Json) -> Json:
    """An object as the history keeps it: field ownership reduced to who and when, no image lists.

    Only what is noise is left out; spec and status stay whole, since diagnosis reads them.
    """
    kept = copy.copy(obj)
    meta = dict(obj["metadata"])
    managed = meta.pop("managedFields", None)
    if managed:
        meta["managers"] = {_who(each): each.get("time", "") for each in managed}
    annotations = dict(meta.get("annotations") or {})
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if annotations:
        meta["annotations"] = annotations
    kept["metadata"] = meta
    if obj.get("kind") == "Node" and "images" in obj.get("status", {}):
        kept["status"] = {k: v for k, v in obj["status"].items() if k != "images"}
    return kept


def _who(managed: Json) -> str:
    """ "kubelet Update status": by name, so that the time of one changes without the others."""
    told = (managed.get(key) for key in ("manager", "operation", "subresource"))
    return " ".join(filter(None, told))
