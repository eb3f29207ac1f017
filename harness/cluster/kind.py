"""The `kind` program and the containers it makes: create, delete, inspect.

Knows nothing of records, leases or identity; `harness.cluster.lifecycle` puts those around it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ClusterError, HarnessError, HostError
from harness.host import processes
from harness.host.engine import Engine

_CREATE_SECONDS = 600.0
_CLUSTER_LABEL = "io.x-k8s.kind.cluster"
_ROLE_LABEL = "io.x-k8s.kind.role"


class PortTakenError(HostError):
    """A host port that was free when it was chosen belongs to somebody else by now."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a kind cluster. `state` is the engine's word: running, paused, exited...;
    `role` is `control-plane`, `worker` or `external-load-balancer`."""

    name: str
    cluster: str
    role: str
    state: str


async def create(
    kind: Path,
    engine: Engine,
    *,
    name: str,
    config: Path,
    image: str,
    kubeconfig: Path,
    log: Path,
    keep_open: Sequence[int] = (),
) -> None:
    """Make the cluster and return as soon as kubeadm has joined its nodes; readiness is not awaited
    (kind's own wait starts kubectl in the node without a pause and sees control planes only).

    `keep_open`: descriptors that the child inherits, so that a lock lives as long as it does.
    Raises `PortTakenError`, `HostError` (disk) or `ClusterError`, with kind's own words.
    """
    words: list[str | Path] = [
        kind,
        *("create", "cluster", "--name", name, "--config", config, "--image", image),
        *("--kubeconfig", kubeconfig, "--wait", "0s", "--verbosity", "1"),
    ]
    done = await processes.run(
        words, env=engine.env, timeout=_CREATE_SECONDS, pass_fds=tuple(keep_open)
    )
    await asyncio.to_thread(log.write_bytes, done.stdout + done.stderr)
    if done.code != 0:
        raise explain(done.error, log=log)


def explain(output: str, *, log: Path) -> HarnessError:
    """Turn what `kind create cluster` wrote into the error that a user needs."""
    first = next((line for line in output.splitlines() if line.startswith("ERROR")), "")
    summary = first.removeprefix("ERROR: ") or "kind failed without saying why"
    if re.search(r"port is already allocated|address already in use", output):
        return PortTakenError(
            f"a port of 127.0.0.1 is taken: {summary}",
            remedy="end what listens there, or try again: other ports are chosen each time",
        )
    if re.search(r"no space left on device|disk quota exceeded", output, re.IGNORECASE):
        return HostError(
            f"the disk filled up while the cluster was made: {summary}",
            remedy="free some space (`harness doctor` shows where), then `harness up` again",
        )
    if "could not find a log line that matches" in output:
        return HostError(
            f"a node's systemd did not start: {summary}",
            remedy="`harness doctor` tells whether this host can run the node image",
        )
    return ClusterError(
        f"kind could not make the cluster: {summary} (all of its output: {log})",
        remedy="read the log, run `harness doctor`, then `harness up` again",
    )


async def delete(kind: Path, engine: Engine, *, name: str, kubeconfig: Path) -> None:
    """Remove the cluster's containers and its kubeconfig entries; fine if there are none."""
    done = await processes.run(
        [kind, "delete", "cluster", "--name", name, "--kubeconfig", kubeconfig], env=engine.env
    )
    done.require(
        remedy=f"remove its containers by hand: `docker ps -a --filter label={_CLUSTER_LABEL}`"
    )


async def merge_kubeconfig(kind: Path, engine: Engine, *, name: str, into: Path) -> None:
    """Add the cluster to a kubeconfig of the user's and make it the current context."""
    done = await processes.run(
        [kind, "export", "kubeconfig", "--name", name, "--kubeconfig", into], env=engine.env
    )
    done.require(remedy=f"see whether {into} can be written and is not locked ({into}.lock)")


async def containers(engine: Engine) -> list[Container]:
    """Every container of every kind cluster on this engine, whoever made it, stopped ones too."""
    text = await engine.adocker(
        "ps",
        "--all",
        f"--filter=label={_CLUSTER_LABEL}",
        "--format={{.Names}}\t"
        f'{{{{.Label "{_CLUSTER_LABEL}"}}}}\t{{{{.Label "{_ROLE_LABEL}"}}}}\t{{{{.State}}}}',
    )
    rows = (line.split("\t") for line in text.splitlines())
    return [
        Container(name=name, cluster=cluster, role=role, state=state)
        for name, cluster, role, state in rows
    ]


async def mounts(engine: Engine, container: str) -> Mapping[Path, Path]:
    """Host folders that a container has mounted, by the path inside."""
    template = r'{{range .Mounts}}{{.Destination}}{{"\t"}}{{.Source}}{{"\n"}}{{end}}'
    text = await engine.adocker("inspect", "--format", template, container)
    rows = (line.split("\t") for line in text.splitlines() if "\t" in line)
    return {Path(inside): Path(outside) for inside, outside in rows}
