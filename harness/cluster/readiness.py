"""When a new cluster may be used: every node Ready, and DNS answering where pods ask it.

Own waiting instead of kind's: kind looks at control planes only, and starts kubectl in the node
without a pause, on the processors that the cluster is starting on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from harness.cluster.apiserver import ApiServer, is_ready
from harness.cluster.clusters import NodeRecord
from harness.cluster.shapes import CONTROL_PLANE
from harness.errors import ClusterError, WaitTimeout
from harness.host import processes
from harness.host.engine import Engine

T = TypeVar("T")

_LIMIT_SECONDS = 240.0
_POLL_SECONDS = 0.15
_NAME = "kubernetes.default.svc.cluster.local"
# Asks the cluster's DNS as a pod would: through the resolver library, UDP, the Service's address
# and kube-proxy. In a mount namespace of its own, so the node keeps its resolv.conf. It repeats in
# the node, because starting a command there costs more than the question.
_ASK_DNS = """
printf 'nameserver %s\\noptions timeout:1 attempts:1\\n' "$1" > /run/harness-dns.$$
mount --bind /run/harness-dns.$$ /etc/resolv.conf
rm /run/harness-dns.$$
until getent ahostsv4 "$2" > /dev/null; do sleep 0.1; done
"""


async def until_ready(
    server: ApiServer, nodes: Sequence[NodeRecord], engine: Engine
) -> dict[str, dict[str, Any]]:
    """The Node objects by name, once all are Ready and DNS answers; raises `WaitTimeout`."""
    found: dict[str, dict[str, Any]]
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            found, _ = await asyncio.gather(_nodes(server, nodes), _dns(server, nodes, engine))
    except TimeoutError as error:
        raise WaitTimeout(
            f"the cluster was not ready after {_LIMIT_SECONDS:.0f} s: {await _last_seen(server)}",
            remedy="see whether the host has memory and processors left (`harness doctor`)",
        ) from error
    return found


async def _nodes(server: ApiServer, nodes: Sequence[NodeRecord]) -> dict[str, dict[str, Any]]:
    wanted = {node.name for node in nodes}
    while True:
        found = await _persist(server.nodes)
        if wanted <= {name for name, node in found.items() if is_ready(node)}:
            return found
        await asyncio.sleep(_POLL_SECONDS)


async def _persist(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, however often the starting API server (or the balancer before it) fails."""
    while True:
        try:
            return await ask()
        except ClusterError:
            await asyncio.sleep(_POLL_SECONDS)


async def _dns(server: ApiServer, nodes: Sequence[NodeRecord], engine: Engine) -> None:
    node = next(node.name for node in nodes if node.role == CONTROL_PLANE)
    address = await _persist(server.dns_address)
    words = ["unshare", "--mount", "bash", "-c", _ASK_DNS, "bash", address, _NAME]
    done = await processes.run(
        ["docker", "exec", node, "timeout", f"{_LIMIT_SECONDS:.0f}", *words],
        env=engine.env,
        timeout=_LIMIT_SECONDS,
    )
    done.require(remedy="see the CoreDNS pods in kube-system")


async def _last_seen(server: ApiServer) -> str:
    try:
        nodes = await server.nodes()
        pods = (await server.get("/api/v1/namespaces/kube-system/pods"))["items"]
    except ClusterError as error:
        return error.message
    unready = [name for name, node in nodes.items() if not is_ready(node)]
    phases = {pod["metadata"]["name"]: pod["status"].get("phase") for pod in pods}
    waiting = [f"{name} {phase}" for name, phase in phases.items() if phase != "Running"]
    return f"nodes not Ready: {unready or 'none'}; pods not running: {waiting or 'none'}"
