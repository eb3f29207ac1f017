"""What is there on this machine and on a cluster, told by docker, kubectl and /proc alone.

Nothing here knows the harness: what it counts as undone is not asked of it. Two sightings that
differ differ by residue.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

_OURS = "resilience-harness"
_CLUSTER_LABEL = "io.x-k8s.kind.cluster"
_KUBECTL = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "-o", "json")
_KINDS = (
    "namespaces,persistentvolumes,clusterroles,clusterrolebindings,volumeattachments,"
    "storageclasses,customresourcedefinitions,priorityclasses,"
    "validatingwebhookconfigurations,mutatingwebhookconfigurations"
)
# Kinds of what stands in namespaces that outlive every trial.
_NAMESPACED = "configmaps,secrets,services,pods,deployments,roles,rolebindings"
# In a node: stopped processes, files and units that wait there, tables of the packet filter.
_IN_NODE = """
ps -eo stat=,pid=,comm= | awk '$1 ~ /^T/ {print "stopped process " $3}'
for file in /run/resilience-harness/*; do [ -e "$file" ] && echo "file $file"; done
systemctl list-units --no-legend --plain 'harness-*' | awk '{print "unit " $1}'
nft list tables 2>/dev/null | sed 's/^/nft /'
true
"""


class Oracle:
    """Looks at one cluster and at the processes that carry a mark in their environment."""

    def __init__(self, cluster: str, env: Mapping[str, str], ledgers: Path) -> None:
        self._cluster = cluster
        self._env = dict(env)
        self._ledgers = ledgers

    def cluster(self) -> set[str]:
        """Facts of the cluster, one line each; two equal sightings mean that nothing is left."""
        nodes = self._docker("ps", "-a", "--filter", f"label={_CLUSTER_LABEL}={self._cluster}")
        facts = {f"container {' '.join(each)}" for each in nodes}
        if any(state != "running" for _, state in nodes):
            return facts  # nobody could say more
        control_plane = next(name for name, _ in nodes if name.endswith("control-plane"))
        facts |= {_named(obj) for obj in self._get(control_plane, _KINDS) if not _addon(obj)}
        facts |= {_named(obj) for obj in self._get(control_plane, _NAMESPACED, "-A") if _ours(obj)}
        for node in self._get(control_plane, "nodes"):
            facts |= _of_node(node)
        for name, _ in nodes:
            told = self._run("docker", "exec", name, "bash", "-c", _IN_NODE)
            facts |= {f"{name}: {line}" for line in told.splitlines()}
        return facts

    def containers(self) -> set[str]:
        """The engine's containers, by name and state, but for the nodes of others' clusters."""
        words = f'{{{{.Names}}}} {{{{.State}}}} {{{{.Label "{_CLUSTER_LABEL}"}}}}'
        lines = self._run("docker", "ps", "-a", "--format", words).splitlines()
        return {
            f"container {name} {state}"
            for name, state, *cluster in map(str.split, lines)
            if not cluster or cluster[0].startswith(self._cluster)
        }

    def alive(self, mark: str) -> set[str]:
        """Processes with this word in their environment: what a victim started inherits it."""
        found = set()
        for process in psutil.process_iter(["name", "cmdline"]):
            try:
                if mark in process.environ().values():
                    found.add(f"process {' '.join(process.info['cmdline'])[:120]}")
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def ledgers_of(self, pid: int) -> set[str]:
        """Undo records that a process left."""
        return {f"ledger {path.name}" for path in self._ledgers.glob(f"*-{pid}-*.jsonl")}

    def _docker(self, *words: str) -> list[tuple[str, str]]:
        lines = self._run("docker", *words, "--format", "{{.Names}} {{.State}}").splitlines()
        return [(name, state) for name, _, state in (line.partition(" ") for line in lines)]

    def _get(self, node: str, *what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            self._run("docker", "exec", node, *_KUBECTL, *what)
        )["items"]
        return found

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            words, env=self._env, check=True, capture_output=True, text=True, timeout=120
        )
        return done.stdout


def difference(before: set[str], after: set[str]) -> Sequence[str]:
    """Residue, one line each."""
    return [f"new: {fact}" for fact in sorted(after - before)] + [
        f"gone: {fact}" for fact in sorted(before - after)
    ]


def _of_node(node: dict[str, Any]) -> set[str]:
    meta, spec = node["metadata"], node["spec"]
    name = meta["name"]
    facts = {f"node {name} {c['type']}={c['status']}" for c in node["status"]["conditions"]}
    facts |= {f"node {name} taint {t['key']}:{t['effect']}" for t in spec.get("taints") or []}
    facts |= {f"node {name} label {key}={value}" for key, value in meta["labels"].items()}
    written = meta.get("annotations") or {}
    # Kubernetes keeps notes of its own there.
    facts |= {f"node {name} annotation {key}" for key in written if key.startswith(_OURS)}
    return facts | ({f"node {name} cordoned"} if spec.get("unschedulable") else set())


def _named(obj: dict[str, Any]) -> str:
    """With its UID: one that was made anew under the same name is another one."""
    meta = obj["metadata"]
    return f"{obj['kind']} {meta.get('namespace', '')}/{meta['name']} uid {meta['uid']}"


def _addon(obj: dict[str, Any]) -> bool:
    """An add-on stays on its cluster by design."""
    return "resilience-harness.dev/addon" in (obj["metadata"].get("labels") or {})


def _ours(obj: dict[str, Any]) -> bool:
    """Made by a trial, by whatever says so."""
    labels = obj["metadata"].get("labels") or {}
    return any(key.startswith(_OURS) for key in labels) and not _addon(obj)
