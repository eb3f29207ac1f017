"""Volumes on one node and pods on another; pods that nobody takes off a lost node."""

from __future__ import annotations

from typing import Any

import pytest
from judged import NAMESPACE, Tale, at, calm

from harness.errors import UsageError
from harness.objectives import attached_once, shows

FILES = [{"name": "files", "persistentVolumeClaim": {"claimName": "files"}}]


def on(
    tale: Tale, t: float, name: str, node: str, *, phase: str = "Running", deleting: bool = False
) -> None:
    """A pod of the workload on a node, with the claim `files`."""
    tale.pod(t, name, ready=phase == "Running", deleting=deleting)
    obj = tale.records[-1]["object"]
    obj["spec"] = {"nodeName": node, "volumes": FILES}
    obj["status"]["phase"] = phase


def claim(tale: Tale, t: float, name: str = "files", volume: str = "pv-1") -> None:
    meta = {"name": name, "namespace": NAMESPACE, "uid": f"c-{name}"}
    obj = {"metadata": meta, "spec": {"volumeName": volume}}
    tale.add(t, "object", kind="PersistentVolumeClaim", verb="ADDED", object=obj)


def attached(
    tale: Tale,
    t: float,
    node: str,
    *,
    volume: str = "pv-1",
    verb: str = "MODIFIED",
    to: bool = True,
) -> None:
    obj: dict[str, Any] = {
        "metadata": {"name": f"{volume}-{node}", "uid": f"va-{volume}-{node}"},
        "spec": {"nodeName": node, "source": {"persistentVolumeName": volume}},
        "status": {"attached": to},
    }
    tale.add(t, "object", kind="VolumeAttachment", verb=verb, object=obj)


def node(tale: Tale, t: float, name: str, ready: str) -> None:
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
    obj = {"metadata": {"name": name, "uid": name}, "status": {"conditions": conditions}}
    tale.add(t, "object", kind="Node", verb="MODIFIED", object=obj)


def moved() -> Tale:
    """Pod `a` has the volume on n1; a new pod is placed on n2 five seconds after injection."""
    tale = calm()
    claim(tale, 4)
    on(tale, 9, "a", "n1")
    attached(tale, 9, "n1")
    on(tale, 25, "c", "n2", phase="Pending")
    return tale


def test_a_volume_is_attached_elsewhere_while_the_new_pod_waits() -> None:
    got = shows.attached_elsewhere("workload").seen(moved().until())
    assert got is not None
    assert got.at == at(25)
    assert got.text == "pv-1 attached to n1, c is on n2 5 s after injection"


def test_a_pod_that_waits_where_its_volume_is_shows_nothing() -> None:
    tale = calm()
    claim(tale, 4)
    on(tale, 25, "c", "n1", phase="Pending")
    attached(tale, 26, "n1")
    # Somebody else's volume on another node, and an attachment that nobody has confirmed.
    attached(tale, 26, "n2", volume="pv-2")
    attached(tale, 27, "n3", to=False)
    assert shows.attached_elsewhere("workload").seen(tale.until()) is None


def test_a_volume_that_followed_its_pod_was_attached_once() -> None:
    tale = moved()
    attached(tale, 30, "n1", verb="DELETED")
    attached(tale, 31, "n2")
    found = attached_once("workload").judge(tale.until())
    assert found.state == "met"
    early = attached_once("workload").judge(tale.until(35))
    assert (early.state, early.holds) == ("open", True)


def test_two_attachments_at_once_break_it() -> None:
    tale = moved()
    attached(tale, 31, "n2")
    attached(tale, 35, "n1", verb="DELETED")
    found = attached_once("workload").judge(tale.until())
    assert (found.state, found.at) == ("broken", at(31))
    assert found.reason == "pv-1 attached to n1 and n2 after 11 s"
    assert attached_once("workload").judge(tale.until(30)).state == "open"


def test_what_was_attached_twice_before_the_fault_does_not_count() -> None:
    tale = moved()
    attached(tale, 12, "n2")
    attached(tale, 15, "n2", verb="DELETED")
    assert attached_once("workload").judge(tale.until()).state == "met"


def lost() -> Tale:
    """The node of pod `a` is lost at 23."""
    tale = calm()
    on(tale, 9, "a", "n1")
    node(tale, 5, "n1", "True")
    node(tale, 5, "n2", "True")
    node(tale, 23, "n1", "Unknown")
    return tale


def test_a_pod_that_nobody_takes_off_a_lost_node_is_stranded() -> None:
    got = shows.stranded("workload", during="10s").seen(lost().until())
    assert got is not None
    assert got.at == at(33)
    assert got.text == "a still bound to n1, not Ready for 10s, 13 s after injection"


def test_a_pod_that_is_given_up_in_time_is_not_stranded() -> None:
    tale = lost()
    on(tale, 30, "a", "n1", deleting=True)
    assert shows.stranded("workload", during="10s").seen(tale.until()) is None


def test_a_node_that_comes_back_in_time_strands_nobody() -> None:
    tale = lost()
    node(tale, 30, "n1", "True")
    assert shows.stranded("workload", during="10s").seen(tale.until()) is None


def test_what_lasts_only_after_the_healing_proves_nothing() -> None:
    # Healing begins at 40.
    assert shows.stranded("workload", during="20s").seen(lost().until()) is None


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="no duration"):
        shows.stranded("workload", during="soon")
