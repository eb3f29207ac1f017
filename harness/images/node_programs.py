"""The programs inside a built node image: which modules at which versions, and their images' names.

How a program is built is `go_programs`' business, how an image is made `node_image`'s.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness import paths
from harness.host.commands import output
from harness.host.go_programs import Program, build

_KUBERNETES_VERSION = "v1.36.3"
_MAJOR, _MINOR = _KUBERNETES_VERSION.removeprefix("v").split(".")[:2]

KUBERNETES = Program(
    name="kubernetes",
    version=_KUBERNETES_VERSION,
    tree="node-image/go/kubernetes",
    stamp=tuple(
        f"{package}.{variable}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for variable, value in (
            ("gitVersion", _KUBERNETES_VERSION),
            ("gitMajor", _MAJOR),
            ("gitMinor", _MINOR),
        )
    ),
)
CONTAINERD = Program(
    name="containerd",
    version="v2.3.3",
    tree="node-image/go/containerd",
    stamp=("github.com/containerd/containerd/v2/version.Version=v2.3.3",),
)
# etcd and CoreDNS have the versions that kubeadm v1.36.3 asks for; `kubernetes_images` checks it.
ETCD = Program(name="etcd", version="v3.6.8", tree="node-image/go/etcd", rename={"server": "etcd"})
COREDNS = Program(name="coredns", version="v1.14.2", packages=(".",), tree="node-image/go/coredns")
CNI_PLUGINS = Program(name="cni-plugins", version="v1.9.1", tree="node-image/go/cni-plugins")
LOCAL_PATH_PROVISIONER = Program(
    name="local-path-provisioner", version="v0.0.30", tree="node-image/go/local-path-provisioner"
)
POD_NETWORK = Program(
    name="pod-network", version="1", packages=(".",), tree="node-image/go/pod-network"
)
PAUSE = Program(name="pause", version="1", packages=(".",), tree="node-image/go/pause")

ALL = (
    KUBERNETES,
    CONTAINERD,
    ETCD,
    COREDNS,
    CNI_PLUGINS,
    LOCAL_PATH_PROVISIONER,
    POD_NETWORK,
    PAUSE,
)


def gather() -> Path:
    """One folder with every program of `ALL`, built if need be; the caller removes it."""
    folder = paths.build() / "node-programs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for program in ALL:
        for path in build(program).iterdir():
            # Links, not copies: these are 800 MB.
            os.link(path, folder / path.name)
    return folder


def kubernetes_images(programs: Path) -> dict[str, str]:
    """Image name -> program, for what `kubeadm config images list` asks for.

    Raises `AssertionError` when kubeadm wants an etcd or CoreDNS other than the pinned one: an
    image must be what its name says.
    """
    words = ["config", "images", "list", "--kubernetes-version", KUBERNETES.version]
    names = output([programs / "kubeadm", *words]).split()
    found = {name: name.rsplit(":", 1)[0].rsplit("/", 1)[1] for name in names}
    for program in (ETCD, COREDNS):
        name = next(name for name, base in found.items() if base == program.name)
        tag = name.rsplit(":", 1)[1]
        if program.version.removeprefix("v") != tag.removeprefix("v").removesuffix("-0"):
            raise AssertionError(f"kubeadm wants {name}, pinned is {program.version}")
    return found
