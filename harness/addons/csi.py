"""The CSI driver as the rest of the harness sees it: its faults and the record of its calls.

The contract is in `kind-configs/addons/csi/README.md`. Installing it is `harness.addons.addons`'
business; which fault is put in when, and how it is healed, that of `harness.faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from harness.cluster import volumes
from harness.cluster.clusters import Cluster
from harness.errors import ClusterError
from harness.host.go_programs import Program
from harness.kube.client import Kube, Obj
from harness.labels import DOMAIN
from harness.nodes.nodes import node_commands

DRIVER = "csi.resilience-harness.dev"
NAMESPACE = "harness-csi"
ATTACHABLE = "harness-attachable"
"""StorageClass of volumes that are attached to one node at a time (ReadWriteOnce, -OncePod)."""

FAULT_LABEL = f"{DOMAIN}/csi-fault"
_PORT = 9808
_PODS = "app in (csi-controller, csi-node)"

PROGRAM = Program(
    name="csi",
    version="v4.12.0",
    tree="addons/csi",
    packages=(".", "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher"),
    # The attacher's version: the driver has no such variable, and the linker does not mind.
    stamp=("main.version=v4.12.0",),
)

Operation = Literal[
    "provision", "attach", "stage", "mount", "unmount", "unstage", "detach", "delete"
]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call to the driver. `finished` is None while it is under way, `code` is then empty.

    `instance` and `seq` identify it; an instance is one life of one driver pod. `held` is how long
    faults kept it, `faults` are the names of their ConfigMaps. Times are the driver's, UTC.
    """

    instance: str
    seq: int
    method: str
    operation: str
    volume: str
    node: str
    claim_namespace: str
    claim: str
    began: datetime
    finished: datetime | None
    held: timedelta
    faults: tuple[str, ...]
    code: str
    message: str


def fault(
    name: str,
    *,
    operation: Operation,
    expires: datetime,
    claim_namespace: str = "",
    claim: str = "",
    volume: str = "",
    node: str = "",
    delay: timedelta | None = None,
    refuse: str = "",
    code: str = "",
    labels: Mapping[str, str] | None = None,
) -> Obj:
    """The ConfigMap that is this fault: creating it injects, deleting it heals.

    Empty fields match everything, but `claim_namespace` or `volume` is needed. `expires` has a time
    zone; after it the driver takes no notice of the fault.
    """
    fields = {
        "claimNamespace": claim_namespace,
        "claim": claim,
        "volume": volume,
        "node": node,
        "operation": operation,
        "delay": f"{delay / timedelta(milliseconds=1):.0f}ms" if delay else "",
        "refuse": refuse,
        "code": code,
        "expires": expires.astimezone(UTC).isoformat(timespec="milliseconds"),
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {**(labels or {}), FAULT_LABEL: "true"},
        },
        "data": {key: value for key, value in fields.items() if value},
    }


async def known(kube: Kube, name: str) -> bool:
    """Whether every driver pod has this fault in force.

    Raises `ClusterError` with the driver's words if it could not be understood.
    """
    views = await _ask_all(kube, "/faults")
    for view in views:
        if name in view["malformed"]:
            raise ClusterError(
                f"the CSI driver does not understand the fault {name}: {view['malformed'][name]}",
                remedy="see the table of fields in kind-configs/addons/csi/README.md",
            )
    return bool(views) and all(
        any(fault["id"] == name for fault in view["active"] or []) for view in views
    )


async def calls(kube: Kube, *, claim_namespace: str | None = None) -> list[Call]:
    """The calls that the running driver pods remember (20 000 each), in the order they began;
    those of one namespace's claims if given."""
    found = [_call(each) for view in await _ask_all(kube, "/calls") for each in view["calls"]]
    if claim_namespace is not None:
        found = [call for call in found if call.claim_namespace == claim_namespace]
    return sorted(found, key=lambda call: call.began)


async def preflight(cluster: Cluster) -> None:
    """Raises `ClusterError` if a node does not see the folder of the volumes."""
    nodes = node_commands(cluster)
    for node in cluster.nodes:
        looked = await nodes.run(node.name, ["test", "-d", volumes.NODE_FOLDER])
        if looked.code != 0:
            raise ClusterError(
                f"node {node.name} has no {volumes.NODE_FOLDER}: the CSI driver's volumes need"
                " a folder that all nodes share",
                remedy=f"rebuild the cluster: `harness up --cluster {cluster.name} --rebuild`",
            )


async def works(kube: Kube) -> None:
    """Raises `AssertionError` until every node's kubelet knows the driver."""
    for node in await kube.list("storage.k8s.io/v1", "CSINode"):
        drivers = [driver["name"] for driver in node["spec"].get("drivers") or []]
        if DRIVER not in drivers:
            raise AssertionError(f"the kubelet of {node['metadata']['name']} knows {drivers}")


async def in_use(kube: Kube, namespaces: Collection[str] | None = None) -> list[str]:
    """The volumes of this driver, one line each; those of some namespaces' claims if given."""
    lines = []
    for volume in await kube.list("v1", "PersistentVolume"):
        if (volume["spec"].get("csi") or {}).get("driver") != DRIVER:
            continue
        claim = volume["spec"].get("claimRef") or {}
        if namespaces is None or claim.get("namespace") in namespaces:
            name = volume["metadata"]["name"]
            lines.append(
                f"PersistentVolume {name} of claim {claim.get('namespace')}/{claim.get('name')}"
            )
    return lines


async def _ask_all(kube: Kube, path: str) -> list[Obj]:
    pods = await kube.list("v1", "Pod", NAMESPACE, labels=_PODS)
    running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
    answers = await asyncio.gather(
        *(
            kube.pod_proxy(NAMESPACE, pod["metadata"]["name"], _PORT, path=path)
            for pod in running
            if "deletionTimestamp" not in pod["metadata"]
        )
    )
    return [answer.json() for answer in answers]


def _call(raw: Obj) -> Call:
    return Call(
        instance=raw["instance"],
        seq=raw["seq"],
        method=raw["method"],
        operation=raw["operation"],
        volume=raw["volume"],
        node=raw.get("node", ""),
        claim_namespace=raw.get("claimNamespace", ""),
        claim=raw.get("claim", ""),
        began=datetime.fromisoformat(raw["began"]),
        finished=datetime.fromisoformat(raw["finished"]) if raw["finished"] else None,
        held=timedelta(seconds=raw["heldSeconds"]),
        faults=tuple(raw["faults"]),
        code=raw["code"],
        message=raw["message"],
    )
