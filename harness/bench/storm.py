"""What a storm of changes leaves in a history: many pods, each with a new label every second.

`python -m harness.bench.storm` prints as JSON the size of the file beside what whole objects would
have taken, the CPU time of writing it, and the memory of what was read. The pods are those
of the sample subject `checkout`.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from harness import paths
from harness.history.facts import Json
from harness.history.history import History
from harness.history.run_files import HISTORY_FILE
from harness.history.writer import Writer
from harness.manifest.yaml import load_all

_SEEN = "2026-01-31T03:14:00Z"
_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")


def storm(pods: int, seconds: int) -> Iterator[Json]:
    """The fields of each `object` record: every pod once, then each with a label of the second."""
    template = _template()
    latest = [_pod(template, number) for number in range(pods)]
    for second in range(seconds + 1):
        for pod in latest:
            meta = pod["metadata"]
            meta["labels"]["round"] = meta["resourceVersion"] = str(second)
            yield {
                "kind": "Pod",
                "verb": "MODIFIED" if second else "ADDED",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "relisted": False,
                "object": pod,
            }


def _template() -> Json:
    file = paths.apps() / "checkout/deploy/checkout-api.yaml"
    objects = load_all(file.read_text())
    template: Json = next(o["spec"]["template"] for o in objects if o["kind"] == "Deployment")
    return template


def _pod(template: Json, number: int) -> Json:
    pod = copy.deepcopy(template)
    name = f"checkout-api-5f-{number}"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-api-5f", "uid": "rs"}
    managers = ("kube-controller-manager Update", "kubelet Update status", "kubectl-label Update")
    pod["metadata"] |= {
        "name": name,
        "namespace": "prod-checkout-1a2b",
        "uid": f"uid-{number}",
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        "managers": dict.fromkeys(managers, _SEEN),
    }
    running = {"running": {"startedAt": _SEEN}}
    pod["status"] = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [
            {"type": each, "status": "True", "lastTransitionTime": _SEEN} for each in _CONDITIONS
        ],
        "containerStatuses": [
            {"name": each["name"], "image": each["image"], "ready": True, "state": running}
            for each in pod["spec"]["containers"]
        ],
    }
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def measure(pods: int, seconds: int) -> dict[str, object]:
    """The figures of one storm."""
    whole = sum(len(orjson.dumps(each)) for each in storm(pods, seconds))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = Writer(folder)
        wrote = 0.0
        for each in storm(pods, seconds):
            began = time.process_time()
            writer.append("object", **each)
            wrote += time.process_time() - began
        writer.close()
        tracemalloc.start()
        history = History.read(folder)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {
            "records": len(history.records),
            "mib": round((folder / HISTORY_FILE).stat().st_size / 2**20, 1),
            "mib_of_whole_objects": round(whole / 2**20, 1),
            "write_cpu_seconds": round(wrote, 1),
            "mib_in_memory": round(held / 2**20, 1),
        }


def main(words: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30)
    given = parser.parse_args(words)
    sys.stdout.write(json.dumps(measure(given.pods, given.seconds), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
