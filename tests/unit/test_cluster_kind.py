"""What kind's failures become for the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.kind import PortTakenError, explain
from harness.errors import ClusterError, HarnessError, HostError

LOG = Path("/state/create.log")


@pytest.mark.parametrize(
    ("output", "kind", "message"),
    [
        (
            "ERROR: failed to create cluster: docker: Error response from daemon: driver failed: "
            "Bind for 127.0.0.1:41000 failed: port is already allocated.",
            PortTakenError,
            "a port of 127.0.0.1 is taken",
        ),
        (
            "ERROR: failed to create cluster: listen tcp4 127.0.0.1:41000: bind: "
            "address already in use",
            PortTakenError,
            "a port of 127.0.0.1 is taken",
        ),
        (
            "ERROR: failed to create cluster: write /var/lib/x: no space left on device",
            HostError,
            "the disk filled up",
        ),
        (
            'ERROR: failed to create cluster: could not find a log line that matches "Reached"',
            HostError,
            "systemd did not start",
        ),
        (
            "Creating cluster ...\nERROR: failed to create cluster: kubeadm said no",
            ClusterError,
            "kubeadm said no .*/state/create.log",
        ),
        ("", ClusterError, "without saying why"),
    ],
)
def test_each_failure_names_its_cause(output: str, kind: type[HarnessError], message: str) -> None:
    error = explain(output, log=LOG)
    assert type(error) is kind
    with pytest.raises(kind, match=message):
        raise error
    assert error.remedy
