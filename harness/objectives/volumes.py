"""Objectives on volumes: to how many nodes one is attached, through time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.declare import Declared, Exposure, Finding, Scope, register
from harness.history.facts import Facts, FaultFacts, Json
from harness.history.history import History
from harness.history.records import SECOND
from harness.objectives.observed import PODS


@dataclass(frozen=True)
class Waiting:
    """A pod that has a node and does not run there yet, and the volumes that it needs."""

    pod: str
    node: str
    volumes: frozenset[str]


@dataclass(frozen=True)
class Volumes:
    """A role's volumes at a time. `attached` maps each to the nodes that it is attached to."""

    t: int
    attached: Mapping[str, frozenset[str]]
    waiting: tuple[Waiting, ...]


def volume_states(history: History, role: str) -> Iterator[Volumes]:
    """The state after each change of a claim, an attachment or a pod that matters to a role."""
    namespace = history.facts.role(role).namespace
    mine = {pod.uid for pod in history.pods_of(role)}
    volumes: dict[str, str] = {}
    claims: set[str] = set()
    attachments: dict[str, tuple[str, str]] = {}
    waiting: dict[str, Json] = {}
    for record in history.records:
        if record["type"] != "object":
            continue
        obj, gone = record["object"], record["verb"] == "DELETED"
        meta = obj["metadata"]
        match record["kind"]:
            case "PersistentVolumeClaim" if meta.get("namespace") == namespace:
                volumes[meta["name"]] = obj.get("spec", {}).get("volumeName", "")
            case "VolumeAttachment":
                attachments.pop(meta["name"], None)
                volume = obj["spec"]["source"].get("persistentVolumeName", "")
                if not gone and obj.get("status", {}).get("attached"):
                    attachments[meta["name"]] = (volume, obj["spec"]["nodeName"])
            case "Pod" if meta.get("uid") in mine:
                claims |= _claims(obj)
                waiting.pop(meta["name"], None)
                placed = obj.get("spec", {}).get("nodeName")
                if placed and not gone and obj.get("status", {}).get("phase") == "Pending":
                    waiting[meta["name"]] = obj
            case _:
                continue
        known = {volumes[claim] for claim in claims if volumes.get(claim)}
        yield Volumes(
            t=record["t"],
            attached={
                volume: frozenset(node for of, node in attachments.values() if of == volume)
                for volume in known
            },
            waiting=tuple(
                Waiting(
                    pod=name,
                    node=pod["spec"]["nodeName"],
                    volumes=frozenset(volumes.get(claim, "") for claim in _claims(pod)) - {""},
                )
                for name, pod in waiting.items()
            ),
        )


def _claims(pod: Json) -> set[str]:
    return {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod.get("spec", {}).get("volumes", [])
        if "persistentVolumeClaim" in volume
    }


@register("objective", "attached-once")
@dataclass(frozen=True)
class AttachedOnce(Declared):
    """No volume of a role is ever attached to more than one node at a time."""

    role: str

    scope: ClassVar[Scope] = "namespace"
    watches: ClassVar[tuple[str, ...]] = (*PODS, "PersistentVolumeClaim", "VolumeAttachment")

    def describe(self) -> str:
        """One line for tables."""
        return f"one attachment per volume of {self.role}"

    def judge(self, history: History) -> Finding:
        """Broken at the second attachment; met once recovery is over."""
        window = history.watched
        if window is None:
            return Finding("open", f"no fault yet to move the volumes of {self.role}")
        seen = False
        for state in volume_states(history, self.role):
            for volume, nodes in state.attached.items():
                seen = seen or bool(nodes)
                if window.holds(state.t) and len(nodes) > 1:
                    after = (state.t - window.begin) / SECOND
                    places = " and ".join(sorted(nodes))
                    return Finding(
                        "broken", f"{volume} attached to {places} after {after:.0f} s", state.t
                    )
        if not seen:
            text = f"no volume of {self.role} was ever seen attached"
            return Finding("open", text, holds=history.over)
        reason = f"every volume of {self.role} attached to one node at a time"
        if history.over:
            return Finding("met", reason, window.end)
        return Finding("open", reason, holds=True)

    def control(self, history: History) -> Finding:
        """Without a fault nothing moves."""
        return Finding("met", "nothing to move")

    def exposure(self, facts: Facts, fault: FaultFacts) -> Exposure | None:
        """It ends with the move itself."""
        return None
