"""Small objects that need no registry: images that every node has; commands in their pods."""

from __future__ import annotations

from typing import Any

from harness.cluster.clusters import Cluster
from harness.host import processes
from harness.host.processes import Completed
from harness.images.supply import Supply

Obj = dict[str, Any]

# Static, in every node: the one of each pod's sandbox, and the one of the storage provisioner's
# helper pods (busybox).
PAUSE = "registry.k8s.io/pause:3.10.2"
SHELL = "registry.harness/shell:node"


def namespace(name: str, **labels: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(name: str, *command: str, image: str = SHELL, **spec: Any) -> Obj:
    container: Obj = {"name": "app", "image": image, "imagePullPolicy": "IfNotPresent"}
    if command:
        container["command"] = list(command)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec},
    }


def deployment(name: str, replicas: int = 1) -> Obj:
    template = pod(name, image=PAUSE)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def in_pod(cluster: Cluster, namespace: str, name: str, *argv: str) -> Completed:
    """A command in a pod, to its end."""
    words = [f"--kubeconfig={cluster.kubeconfig}", "exec", name, f"--namespace={namespace}", "--"]
    return await processes.run([await Supply().kubectl(), *words, *argv])
