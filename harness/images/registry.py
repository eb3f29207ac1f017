"""The local registry that every cluster of ours pulls from, and how nodes find it.

Images carry the name `registry.harness/...`, which is no host anywhere: containerd's `certs.d`
on each node leads it to the registry. There are two containers over one volume: nodes and pods
reach the one that can only read, this machine alone the one that can write. Which images get in is
`publish`'s business.
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
from harness.host.commands import NOT_THERE, CommandError
from harness.host.engine import Engine
from harness.host.progress import Step, step
from harness.images import tags

REGISTRY = "registry.harness"
# kind's own network, so that nodes of any cluster reach the registry by its container's name.
NETWORK = "kind"
PULL_CONTAINER = "resilience-harness-registry"
PUSH_CONTAINER = f"{PULL_CONTAINER}-push"
VOLUME = PULL_CONTAINER
_STORE = "/var/lib/registry"
_PORT = 5000
_ANSWER_SECONDS = 30.0
_LOGS = f"look at `docker logs {PULL_CONTAINER}`"
_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry that answers, at two addresses `127.0.0.1:PORT` of this machine."""

    push_host: str
    pull_host: str

    def digest_of(self, repository: str, tag: str, image: str) -> str | None:
        """The manifest digest behind a tag, as nodes would get it, if it is that of `image`.

        `image` is the engine's identity of it. None when there is no such tag, or another image.
        """
        request = urllib.request.Request(
            f"http://{self.pull_host}/v2/{repository}/manifests/{tag}",
            headers={"Accept": ", ".join(_MANIFESTS)},
        )
        try:
            with _direct().open(request, timeout=10) as answer:
                manifest = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise HostError(
                f"the local registry answers {error.code} for {repository}:{tag}", remedy=_LOGS
            ) from error
        except OSError as error:
            raise HostError(
                f"the local registry at {self.pull_host} does not answer: {error}",
                remedy=_LOGS,
            ) from error
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        # An engine knows an image by its configuration or, with containerd's store, its manifest.
        known = {digest, json.loads(manifest).get("config", {}).get("digest")}
        return digest if image in known else None


def containerd_patches() -> list[str]:
    """For kind's `containerdConfigPatches`: where containerd looks for registries' settings."""
    return [
        '[plugins."io.containerd.grpc.v1.cri".registry]\n'
        '  config_path = "/etc/containerd/certs.d"\n'
    ]


def node_files() -> dict[str, str]:
    """Absolute path in a node -> content. containerd reads them at each pull: no restart."""
    address = f"http://{PULL_CONTAINER}:{_PORT}"
    return {
        f"/etc/containerd/certs.d/{REGISTRY}/hosts.toml": (
            f'server = "{address}"\n\n[host."{address}"]\n  capabilities = ["pull", "resolve"]\n'
        )
    }


def ensure_registry(engine: Engine) -> Registry:
    """The registry, running; made on first use, its images kept in a volume.

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
                    remedy=_LOGS,
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
    if not tags.built(engine, image):
        program = go_programs.registry_server()
        with step("registry image", log=paths.build() / "logs" / "registry.log") as running:
            words = ["docker", "build", "--progress=plain", "--provenance=false"]
            words += [*tags.words(image), f"--build-context=programs={program.parent}", str(folder)]
            running.run(words, env={**engine.env, "DOCKER_BUILDKIT": "1"})
    return image


def _start(engine: Engine, image: str, running: Step) -> None:
    ensure_network(engine)
    # What an earlier life left cannot be trusted to have today's settings; the volume is kept.
    engine.docker("rm", "--force", PULL_CONTAINER, PUSH_CONTAINER, check=False)
    for words in (
        [f"--name={PUSH_CONTAINER}", f"--volume={VOLUME}:{_STORE}"],
        [f"--name={PULL_CONTAINER}", f"--volume={VOLUME}:{_STORE}:ro", f"--network={NETWORK}"],
    ):
        common = [f"--publish=127.0.0.1::{_PORT}", "--restart=unless-stopped", image]
        running.run(["docker", "run", "--detach", *words, *common], env=engine.env)


def _running(engine: Engine) -> Registry | None:
    """The registry whose containers run, the one that nodes reach without a way to write."""
    hosts = []
    for name, writes in ((PUSH_CONTAINER, True), (PULL_CONTAINER, False)):
        try:
            text = engine.docker("inspect", "--type=container", name)
        except CommandError as error:
            if error.code == NOT_THERE:
                raise
            return None
        state = json.loads(text)[0]
        ports = (state["NetworkSettings"]["Ports"] or {}).get(f"{_PORT}/tcp")
        if not state["State"]["Running"] or not ports or state["Mounts"][0]["RW"] is not writes:
            return None
        hosts.append(f"127.0.0.1:{ports[0]['HostPort']}")
    return Registry(push_host=hosts[0], pull_host=hosts[1])


def _answers_soon(registry: Registry) -> bool:
    deadline = time.monotonic() + _ANSWER_SECONDS
    while not _answers(registry):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _answers(registry: Registry) -> bool:
    try:
        for host in (registry.push_host, registry.pull_host):
            with _direct().open(f"http://{host}/v2/", timeout=5) as answer:
                if answer.status != 200:
                    return False
    except OSError:
        return False
    return True


def _direct() -> urllib.request.OpenerDirector:
    """Without the machine's web proxy: 127.0.0.1 is right here."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
