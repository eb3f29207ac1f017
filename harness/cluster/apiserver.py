"""Is the cluster there, and is it the one we made: a handful of reads with the standard library.

`harness status` and a warm `harness up` ask these questions, and importing the full Kubernetes
client takes longer than answering them. Only for clusters that kind made (client certificates
in the kubeconfig); everything else goes through `kubernetes.aio`.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from harness.errors import ClusterError

_TIMEOUT_SECONDS = 3.0


class ApiServer:
    """Reads from the API server that a kind kubeconfig names."""

    def __init__(self, kubeconfig: Path) -> None:
        try:
            config = yaml.safe_load(kubeconfig.read_text())
            server = config["clusters"][0]["cluster"]
            user = config["users"][0]["user"]
            address = urlsplit(server["server"])
            self.tls = ssl.create_default_context(
                cadata=base64.b64decode(server["certificate-authority-data"]).decode()
            )
            with tempfile.NamedTemporaryFile() as pair:
                pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
                pair.write(base64.b64decode(user["client-key-data"]))
                pair.flush()
                self.tls.load_cert_chain(pair.name)
        except (OSError, KeyError, IndexError, TypeError, ValueError, yaml.YAMLError) as error:
            raise ClusterError(
                f"{kubeconfig} cannot be used: {error!r}",
                remedy="rebuild it: `harness up --rebuild`",
            ) from error
        self.host = address.hostname or "127.0.0.1"
        self.port = address.port or 443

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON object at `path`; raises `ClusterError` without one within 3 s."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> dict[str, Any]:
        connection = http.client.HTTPSConnection(
            self.host, self.port, context=self.tls, timeout=_TIMEOUT_SECONDS
        )
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(
                f"the API server at {self.host}:{self.port} does not answer: {error}",
                remedy="see `harness status`; `harness up` rebuilds a broken cluster",
            ) from error
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise ClusterError(
                f"GET {path}: {response.status} {body[:200].decode(errors='replace')}",
                remedy="see `harness status`",
            )
        answer: dict[str, Any] = json.loads(body)
        return answer

    async def identity(self) -> str:
        """The UID of the namespace kube-system: made with the cluster, kept as long as it lives."""
        uid: str = (await self.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"]
        return uid

    async def nodes(self) -> dict[str, dict[str, Any]]:
        """Node objects by name."""
        items = (await self.get("/api/v1/nodes"))["items"]
        return {item["metadata"]["name"]: item for item in items}

    async def dns_address(self) -> str:
        """Cluster IP of the cluster's DNS."""
        service = await self.get("/api/v1/namespaces/kube-system/services/kube-dns")
        address: str = service["spec"]["clusterIP"]
        return address


def is_ready(node: dict[str, Any]) -> bool:
    """The Node object's Ready condition is True."""
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in node.get("status", {}).get("conditions", ())
    )
