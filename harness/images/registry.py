"""The local registry that every cluster of ours pulls from, and how nodes find it.

Images carry the name `registry.harness/...`, which is no host anywhere: containerd's `certs.d`
on each node leads it to the registry's container. How images get in is `images`' business.
"""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from filelock import FileLock

from harness import paths
from harness.errors import HostError
from harness.host import go_programs
from harness.host.commands import CommandError
from harness.host.engine import Engine
from harness.host.progress import Step, step

REGISTRY = "registry.harness"
CONTAINER = "resilience-harness-registry"
# kind's own network, so that nodes of any cluster reach the registry by its container's name.
NETWORK = "kind"
_PORT = 5000
_VOLUME = "resilience-harness-registry"
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry that answers. `push_host` is `127.0.0.1:PORT`, for the engine and this machine."""

    container: str
    push_host: str
    network: str = NETWORK

    def digest_of(self, repository: str, tag: str) -> str | None:
        """The manifest digest behind a tag, None when the registry has no such tag."""
        request = urllib.request.Request(
            f"http://{self.push_host}/v2/{repository}/manifests/{tag}", method="HEAD"
        )
        for kind in (
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ):
            request.add_header("Accept", kind)
        try:
            with _direct().open(request, timeout=10) as answer:
                digest: str | None = answer.headers.get("Docker-Content-Digest")
                return digest
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise HostError(
                f"the local registry answers {error.code} for {repository}:{tag}",
                remedy=f"look at `docker logs {self.container}`",
            ) from error
        except OSError as error:
            raise HostError(
                f"the local registry at {self.push_host} does not answer: {error}",
                remedy=f"look at `docker logs {self.container}`",
            ) from error


def containerd_patches() -> list[str]:
    """For kind's `containerdConfigPatches`: where containerd looks for registries' settings."""
    return [
        '[plugins."io.containerd.grpc.v1.cri".registry]\n'
        '  config_path = "/etc/containerd/certs.d"\n'
    ]


def node_files() -> dict[str, str]:
    """Absolute path in a node -> content. containerd reads them at each pull: no restart."""
    address = f"http://{CONTAINER}:{_PORT}"
    return {
        f"/etc/containerd/certs.d/{REGISTRY}/hosts.toml": (
            f'server = "{address}"\n\n[host."{address}"]\n  capabilities = ["pull", "resolve"]\n'
        )
    }


def ensure_registry(engine: Engine) -> Registry:
    """The registry's container, running; made on first use, its images kept in a volume.

    Raises `HostError` when it does not come up.
    """
    found = _running(engine)
    if found is not None and _answers(found):
        return found
    paths.build().mkdir(parents=True, exist_ok=True)
    with FileLock(paths.build() / "registry.lock"):
        # One that runs is given the time to answer, not removed: others may be using it.
        found = _running(engine)
        if found is not None and _answers_soon(found):
            return found
        image = _image(engine)
        with step("local registry", log=paths.build() / "logs" / "registry.log") as running:
            _start(engine, image, running)
            found = _running(engine)
            if found is None or not _answers_soon(found):
                raise HostError(
                    f"the local registry does not answer within {_ANSWER_SECONDS:.0f} s",
                    remedy=f"look at `docker logs {CONTAINER}`",
                )
            running.note = found.push_host
    return found


def ensure_network(engine: Engine) -> None:
    """Make kind's network as kind itself would: the registry is on it before any cluster."""
    if engine.succeeds("network", "inspect", NETWORK):
        return
    # kind's scheme: a unique local IPv6 range hashed from the name; IPv4 comes from the engine.
    words = ["network", "create", "--driver=bridge"]
    words += ["--opt=com.docker.network.bridge.enable_ip_masquerade=true"]
    digest = hashlib.sha1(NETWORK.encode(), usedforsecurity=False).digest()
    address = f"fc00:{digest[0]:02x}{digest[1]:02x}:{digest[2]:02x}{digest[3]:02x}:"
    subnet = f"{address}{digest[4]:02x}{digest[5]:02x}::/64"
    try:
        engine.docker(*words, "--ipv6", f"--subnet={subnet}", NETWORK)
    except CommandError:
        # No IPv6 here, or the range is taken, or another process was faster.
        if not engine.succeeds("network", "inspect", NETWORK):
            engine.docker(*words, NETWORK)


def _image(engine: Engine) -> str:
    folder = paths.data("kind-configs") / "registry"
    texts = [path.read_text() for path in sorted(folder.iterdir())]
    key = hashlib.sha256("\0".join([*texts, go_programs.REGISTRY.key()]).encode()).hexdigest()[:12]
    image = f"resilience-harness/registry:{key}"
    if not engine.succeeds("image", "inspect", image):
        program = go_programs.registry_server()
        with step("registry image", log=paths.build() / "logs" / "registry.log") as running:
            words = ["docker", "build", "--progress=plain", "--provenance=false", "--tag", image]
            running.run(
                [*words, "--build-context", f"programs={program.parent}", folder],
                env={**engine.env, "DOCKER_BUILDKIT": "1"},
            )
    return image


def _start(engine: Engine, image: str, running: Step) -> None:
    ensure_network(engine)
    # What an earlier life left cannot be trusted to have today's settings; the volume is kept.
    engine.docker("rm", "--force", CONTAINER, check=False)
    words = ["docker", "run", "--detach", f"--name={CONTAINER}", f"--network={NETWORK}"]
    words += [f"--publish=127.0.0.1::{_PORT}", f"--volume={_VOLUME}:/var/lib/registry"]
    words += ["--restart=unless-stopped", "--label=resilience-harness=registry", image]
    running.run(words, env=engine.env)


def _running(engine: Engine) -> Registry | None:
    try:
        text = engine.docker("inspect", "--type=container", CONTAINER)
    except CommandError as error:
        if error.code == 127:
            raise
        return None
    state = json.loads(text)[0]
    ports = (state["NetworkSettings"]["Ports"] or {}).get(f"{_PORT}/tcp")
    if not state["State"]["Running"] or not ports:
        return None
    return Registry(container=CONTAINER, push_host=f"127.0.0.1:{ports[0]['HostPort']}")


def _answers_soon(registry: Registry) -> bool:
    deadline = time.monotonic() + _ANSWER_SECONDS
    while not _answers(registry):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _answers(registry: Registry) -> bool:
    try:
        with _direct().open(f"http://{registry.push_host}/v2/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _direct() -> urllib.request.OpenerDirector:
    """Without the machine's web proxy: 127.0.0.1 is right here."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
