"""Three control planes behind kind's load balancer, alone on the machine: they need all of it."""

from __future__ import annotations

import os

import pytest

from harness.cluster.lifecycle import bring_up, take_down
from harness.kube.client import Kube

NAME = f"t{os.getpid()}-ha"


@pytest.mark.asyncio
async def test_three_control_planes_have_three_etcd_members() -> None:
    cluster = await bring_up(NAME, "ha")
    try:
        assert len(cluster.control_planes) == 3
        async with Kube.connect(cluster.kubeconfig) as kube:
            etcds = await kube.list("v1", "Pod", "kube-system", labels="component=etcd")
            assert {pod["spec"]["nodeName"] for pod in etcds} == {n.name for n in cluster.nodes}
    finally:
        await take_down(NAME)
