"""The oracle of `make trust` sees every kind of residue: else no residue would prove nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oracle import Oracle, difference

NODE = "trust-control-plane"
Machine = dict[str, Any]


def machine() -> Machine:
    """A cluster of one node on which nothing of a trial is."""
    return {
        "containers": {NODE: "running"},
        "objects": {("Namespace", "default"): {"metadata": {"uid": "1"}}},
        "in namespaces": {},
        "nodes": {
            ("Node", NODE): {
                "metadata": {"uid": "2", "labels": {"zone": "a"}},
                "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }
        },
        "in node": "nft table ip filter\n",
    }


class Looking(Oracle):
    """The real oracle, whose commands are answered from a `Machine`."""

    def __init__(self, seen: Machine) -> None:
        super().__init__("trust", {}, Path())
        self._seen = seen

    def _run(self, *words: str) -> str:
        if words[1] == "ps":
            node_of = "Label" in words[-1]
            return "\n".join(
                f"{name} {state} {name.rpartition('-')[0] if node_of else ''}".rstrip()
                for name, state in self._seen["containers"].items()
            )
        if "bash" in words:
            return str(self._seen["in node"])
        asked = {"-A": "in namespaces", "nodes": "nodes"}.get(words[-1], "objects")
        found = copy.deepcopy(self._seen[asked])
        for (kind, name), obj in found.items():
            obj["kind"] = kind
            obj["metadata"]["name"] = name
        return json.dumps({"items": list(found.values())})


def _label(seen: Machine) -> dict[str, str]:
    labels: dict[str, str] = seen["nodes"]["Node", NODE]["metadata"]["labels"]
    return labels


def _stray(seen: Machine) -> None:
    metadata = {"uid": "3", "labels": {"resilience-harness.dev/trial": "t"}}
    seen["in namespaces"]["Secret", "stray"] = {"metadata": metadata}


LEFT: dict[str, Callable[[Machine], object]] = {
    "a paused container": lambda m: m["containers"].update({NODE: "paused"}),
    "a namespace": lambda m: m["objects"].update({("Namespace", "x"): {"metadata": {"uid": "3"}}}),
    "an object made anew": lambda m: m["objects"]["Namespace", "default"]["metadata"].update(
        uid="9"
    ),
    "an object that is gone": lambda m: m["objects"].clear(),
    "an object in a namespace that stays": _stray,
    "a cordon": lambda m: m["nodes"]["Node", NODE]["spec"].update(unschedulable=True),
    "a taint": lambda m: m["nodes"]["Node", NODE]["spec"].update(
        taints=[{"key": "k", "effect": "NoExecute"}]
    ),
    "a condition": lambda m: m["nodes"]["Node", NODE]["status"]["conditions"][0].update(
        status="Unknown"
    ),
    "a label of a node": lambda m: _label(m).update(disk="slow"),
    "a changed label of a node": lambda m: _label(m).update(zone="b"),
    "an annotation of ours": lambda m: m["nodes"]["Node", NODE]["metadata"].update(
        annotations={"resilience-harness.dev/trial": "t"}
    ),
    "a stopped process": lambda m: m.update({"in node": m["in node"] + "stopped process java\n"}),
}


@pytest.mark.parametrize("left", LEFT)
def test_what_is_left_is_seen(left: str) -> None:
    seen = machine()
    before = Looking(machine()).cluster()
    LEFT[left](seen)
    assert difference(before, Looking(seen).cluster()) != []


def test_nothing_is_seen_where_nothing_is_left() -> None:
    seen = machine()
    # Kubernetes' own notes, and an add-on, which stays.
    seen["nodes"]["Node", NODE]["metadata"]["annotations"] = {"kubernetes.io/seen": "now"}
    addon = {"uid": "4", "labels": {"resilience-harness.dev/addon": "csi"}}
    seen["objects"]["ClusterRole", "csi"] = {"metadata": addon}
    assert difference(Looking(machine()).cluster(), Looking(seen).cluster()) == []


@pytest.mark.parametrize(
    ("name", "seen"), [("trust-up-worker", True), ("stray", True), ("other-worker", False)]
)
def test_nodes_of_others_clusters_come_and_go(name: str, seen: bool) -> None:
    more = machine()
    more["containers"][name] = "running"
    found = difference(Looking(machine()).containers(), Looking(more).containers())
    assert bool(found) is seen
