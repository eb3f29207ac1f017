"""The folder behind the volumes of the CSI driver (`kind-configs/addons/csi`), one a cluster.

Every node mounts it, so that a volume's data is wherever the volume is attached. Its files belong
to whoever wrote them in a pod, so removing it may take a container.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.cluster.clusters import ClusterRecord
from harness.host.engine import Engine

NODE_FOLDER = "/var/lib/harness-volumes"
"""Where the nodes see it."""


def folder(cluster_folder: Path) -> Path:
    """Where it is on this machine."""
    return cluster_folder / "volumes"


def remove(record: ClusterRecord, engine: Engine) -> None:
    """Take it away with everything in it, when no node mounts it any more."""
    where = folder(record.folder)
    try:
        shutil.rmtree(where)
    except FileNotFoundError:
        return
    except PermissionError:
        # Written by root or other users of the nodes; we need not be root, but the engine is.
        if record.versions is None:
            raise
        engine.docker(
            "run",
            "--rm",
            "--entrypoint=/bin/rm",
            f"--volume={record.folder}:/cluster",
            record.versions.node_image,
            "-rf",
            f"/cluster/{where.name}",
        )
