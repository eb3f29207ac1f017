"""How a subject comes up: in which order, whether it is up, and if not, in which words.

The workloads are judged from a store of watched objects and from the history of what was seen of
them, the entry by asking it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.history.history import History
from harness.history.records import SECOND, PodTrack
from harness.kube.store import Store
from harness.manifest.exposure import full_start, liveness_round
from harness.manifest.objects import Object, Ref, find_optional, pods_of_role, ref_of
from harness.manifest.probes import pod_grace
from harness.manifest.rollout import Rollout, rollout
from harness.manifest.subject_file import Role

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_MOMENT_S = 3.0
"""Events of failed probes arrive well within this time."""


SETTING_UP_S = 180.0
"""For what no manifest counts: scheduling, volumes, init containers, on a machine that is busy."""
_WORDS = 3
"""Last words, or events, that are told of a subject that does not come up."""


@dataclass(frozen=True)
class Waves:
    """A subject's objects in the order of a start without a struggle.

    `first` has the `dependencies`, the workloads that a role finds by a Service (a database), and
    `later` the workloads that use them: those bound to a role themselves, and the entry's.
    """

    first: Sequence[Object]
    dependencies: Sequence[Object]
    later: Sequence[Object]


def in_waves(
    objects: Sequence[Object], declared: Sequence[Object], roles: Mapping[str, Role]
) -> Waves:
    """Whom to start first; everything is `first` where nothing is known to depend on anything.

    `declared` are the subject's own, in which a role's Service still leads to its pods and not to a
    proxy. Whoever waits for a database that is not there yet fails its probes, is restarted, and
    uses up the events by which a kubelet would tell what the fault did.
    """
    users: set[Ref] = set()
    used: set[Ref] = set()
    for name, role in roles.items():
        if find_optional(declared, role.ref) is None:
            continue  # it comes with the release
        by_service = role.ref.kind == "Service" and name != "entry"
        behind = {ref_of(obj) for obj in pods_of_role(declared, role.ref)}
        (used if by_service else users).update(behind)
    dependencies = [obj for obj in objects if ref_of(obj) in used - users]
    later = [obj for obj in objects if ref_of(obj) in users]
    if not dependencies or not later:
        return Waves(objects, (), ())
    return Waves([obj for obj in objects if obj not in later], dependencies, later)


def start_bound(objects: Sequence[Object]) -> float:
    """Seconds within which a subject must be up, by its own manifests; else it is broken before
    any fault."""
    starts = [full_start(obj).seconds for obj in objects if obj["kind"] in _WORKLOADS]
    return SETTING_UP_S + max(starts, default=0.0)


def own_words(history: History) -> list[str]:
    """What a subject that does not come up says of itself: the last line of each container that
    ended; where none did, what its latest Warning events say."""
    said: dict[tuple[str, str], str] = {}
    for record in history.records:
        if record["type"] != "log":
            continue
        lines = [line for line in record["text"].splitlines() if line.strip()]
        end = f"{record['pod']}/{record['container']} exited with code {record['exit_code']}"
        said[record["pod"], record["container"]] = f"{end}: {lines[-1].strip()}" if lines else end
    if said:
        return list(said.values())[-_WORDS:]
    warned = [
        f"{e.reason} {e.kind}/{e.name}: {e.message}" for e in history.events if e.type == "Warning"
    ]
    return list(dict.fromkeys(warned))[-_WORDS:]


def unready(store: Store, objects: Sequence[Object]) -> list[str]:
    """One line for each workload that is not fully rolled out and ready.

    One that an autoscaler holds is up at its lower bound: it gets there seconds after it was
    applied, and whatever breaks before would meet another application than the one that runs.
    """
    floors = autoscaled(objects)
    lines = []
    for obj in objects:
        kind = obj["kind"]
        if kind not in _WORKLOADS:
            continue
        name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
        live = store.get(kind, name, namespace)
        state = rollout(live) if live is not None else Rollout(0, 1, complete=False)
        wanted = max(state.wanted, floors.get((namespace, kind, name), 0)) if state.wanted else 0
        if not state.complete or state.done < wanted:
            lines.append(f"{kind}/{name} {state.done} of {wanted}{why(store, namespace, name)}")
    return lines


def autoscaled(objects: Sequence[Object]) -> dict[tuple[str, str, str], int]:
    """The least pods of each workload that an autoscaler holds, by namespace, kind and name."""
    floors = {}
    for obj in objects:
        if obj["kind"] == "HorizontalPodAutoscaler":
            target = obj["spec"]["scaleTargetRef"]
            where = (obj["metadata"]["namespace"], target["kind"], target["name"])
            floors[where] = obj["spec"].get("minReplicas", 1)
    return floors


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
