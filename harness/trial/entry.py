"""The way in for the load: a NodePort Service of ours beside the subject's entry."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from harness.errors import ManifestError, WaitTimeout
from harness.kube.eventually import eventually
from harness.labels import MANAGED_BY, MANAGER
from harness.manifest.objects import Object, Ref, service_port


def entry_service(service: Object, ref: Ref, node_port: int) -> Object:
    """A NodePort Service beside the entry Service, with its selector and its one port."""
    port = service_port(service, ref.port)
    selector = service["spec"].get("selector")
    if not selector:
        raise ManifestError(
            f"the entry {ref} has no selector, so no load can be sent to its pods",
            remedy="bind the role entry to a Service that selects the pods which take requests",
        )
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "harness-entry",
            "namespace": ref.namespace,
            "labels": {MANAGED_BY: MANAGER},
        },
        "spec": {
            "type": "NodePort",
            "selector": selector,
            "ports": [
                {
                    "port": port["port"],
                    "targetPort": port.get("targetPort", port["port"]),
                    "nodePort": node_port,
                }
            ],
        },
    }


async def entry_answers(url: str, *, within: float) -> bool:
    """Wait until somebody behind `url` answers an HTTP request, whatever it says.

    A new NodePort exists before every node has its rules: a load that began at once would count
    the nodes' delay against the subject.
    """
    parts = urlsplit(url)

    async def answered() -> bool:
        # A connection may be taken and then dropped on the way, so only an answer counts.
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(f"GET / HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
                return (await reader.read(5)).startswith(b"HTTP")
            finally:
                writer.close()

    try:
        return await eventually(answered, within=within, every=0.1, what=f"an answer of {url}")
    except WaitTimeout:
        return False
