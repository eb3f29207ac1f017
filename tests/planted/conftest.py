"""What planted tests share: a cluster with workers, of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from harness.cluster.lifecycle import take_down


@pytest.fixture(scope="session")
def workers_cluster() -> Iterator[str]:
    """Name of a cluster that is made by who uses it first, and gone when the tests end.

    Gone, since a machine has room for the kubelets of some eight nodes.
    """
    name = "harness-planted"
    yield name
    asyncio.run(take_down(name, force=True))
