"""The fixtures for authors of tests: thin, with their texts; `harness.authoring` does the work.

Imported by every pytest that has the harness installed, so nothing heavy is imported before a
fixture is used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from harness.plugin import settings

if TYPE_CHECKING:
    from harness.authoring import AuthoringSession, Injected, Namespace, Traffic
    from harness.cluster.clusters import Cluster
    from harness.images.supply import Supply


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """A running kind cluster, made if it is not there; a plain handle that holds nothing:
        def test_the_cluster_is_current(cluster):
            assert cluster.versions.kubernetes.startswith("v1.")

    One for the whole session, and one for all xdist workers. It has the shape that the collected
    tests need (`@pytest.mark.harness("workers")`, or `--harness-shape`); `--harness-cluster` names
    it. It stays up afterwards: `harness down`.
    `kubeconfig` and `context` are for other clients.
    """
    return settings.until_done(request.config, settings.bring_up(request.session))


@pytest.fixture(scope="session")
def _supply() -> Supply:
    from harness.images.supply import Supply

    return Supply()


@pytest_asyncio.fixture(loop_scope="function")
async def _session(
    request: pytest.FixtureRequest, cluster: Cluster, _supply: Supply
) -> AsyncIterator[AuthoringSession]:
    from harness.authoring import AuthoringSession
    from harness.authoring.session import Settings, folder_name
    from harness.host.signals import as_interrupt

    config, node = request.config, request.node
    bench = AuthoringSession(
        Settings(
            test=node.nodeid,
            cluster=cluster,
            supply=_supply,
            folders=(node.path.parent, config.rootpath, config.invocation_params.dir),
            folder=settings.run_folder(config)
            / "tests"
            / folder_name(f"{node.path.stem}-{node.name}"),
            seed=settings.seed(config),
            alone=settings.exclusive(node),
            faithful=config.getoption("--harness-faithful"),
            say=partial(settings.tell, config),
        )
    )
    node.stash[settings.STORY] = bench.story
    with as_interrupt():
        try:
            yield bench
        finally:
            await bench.close()


@pytest_asyncio.fixture(loop_scope="function")
async def namespace(_session: AuthoringSession) -> Namespace:
    """A fresh namespace of the test's own: a string, its name, with `apply`, `get` and `all`:
        async def test_web_gets_ready(namespace, eventually):
            await namespace.apply("manifests/web.yaml")
            async def two_ready():
                web = await namespace.get("Deployment", "web")
                return web["status"].get("readyReplicas") == 2
            await eventually(two_ready, within="60s")

    It is in the ledger before it exists, and removed for real after the test: the test ends when
    the namespace is gone, and is an error that names what blocks if it does not go. Pods, workloads
    and events in it are watched, so that a failing test shows them.
    """
    return await _session.namespace()


@pytest.fixture
def deploy(_session: AuthoringSession) -> Callable[..., Any]:
    """An application in namespaces of its own, when it is ready; removed after the test:
        async def test_three_replicas(deploy):
            checkout = await deploy("deploy/")
            assert checkout.ready("workload") == 3
            assert checkout.restarts() == 0

    The path is a folder with a `harness.toml` or one beside it (relative to the test's folder, or
    to where pytest was started), or the name of a sample subject ("checkout", "web"). The manifests
    are checked before anything starts; the images go into the harness's registry.
    `variant` is a kustomize component or a file of patches to apply, `scale=5` shortens probe
    periods, windows and graces by one factor (not with `--harness-faithful`). Before every Service
    role but `entry` stands a proxy from the start, so that a fault can be injected later;
    `in_path=["database"]` or `faults=[SlowDependency("database", latency="3s")]` say which ones.

    The app has `role(name)`, `ready(role)`, `restarts(role)`, `replicas(role)`, `pods(role)`,
    `ref(role)`, `namespace`, `kube`, `history`. After the test all of it is removed, and it is an
    error of the test if anything is left. The cluster is shared with others meanwhile;
    `@pytest.mark.harness(exclusive=True)` has it alone.
    """
    return _session.deploy


@pytest.fixture
def load(_session: AuthoringSession) -> Callable[..., AbstractAsyncContextManager[Traffic]]:
    """Open-loop load on an app's entry while a block runs, and what its requests experienced:
        async def test_checkout_serves(deploy, load, eventually):
            checkout = await deploy("checkout")
            async with load(checkout, rate=20) as traffic:
                await eventually(lambda: len(traffic.requests()) >= 100)
            assert traffic.availability() >= 0.99
            assert traffic.percentile(99) < 0.5

    `rate` in requests per second, `endpoints` as {"GET /cart": 4, "POST /orders": 1} and `timeout`
    default to the `[load]` of the app's `harness.toml`; a `locustfile` replaces the arrivals.
    Latency counts from the intended start of a request. One that is still on its way counts when it
    has its outcome, at the latest after its timeout. Leaving the block after a fault first waits
    (bounded) until the application has recovered and 5 s of that are on record; a generator that
    fell behind raises Inconclusive.
    `during="control"`, `"fault"`, `"recovered"` or `"all"` asks for a stretch.
    """
    return _session.load


@pytest.fixture
def inject(_session: AuthoringSession) -> Callable[..., AbstractAsyncContextManager[Injected]]:
    """A fault while a block runs: proven to be felt, and healed however the block is left:
        async def test_checkout_outlives_a_slow_database(deploy, load, inject):
            checkout = await deploy("deploy/")
            async with load(checkout, rate=40) as traffic:
                slow = SlowDependency(checkout.role("database"), latency="3s")
                async with inject(slow) as fault:
                    await fault.until_exposed()
            assert traffic.availability(during="recovered") >= 0.99
            assert checkout.restarts() == 0

    Before it, the load must have been served for `control` ("8s") and the fault must not be felt.
    In the block it is measured about once a second, independently of its mechanism:
    `await fault.until_felt()`; `await fault.until_exposed()` waits as long as the slowest failure
    needs by the manifests, times 1.5, and only then does survival mean anything. Leaving the block
    heals the fault and proves that it is no longer felt; leaving it before the fault was felt
    raises FaultError. Blocks may be nested and follow each other.
    """
    return _session.inject


@pytest.fixture
def eventually(_session: AuthoringSession) -> Callable[..., Any]:
    """Wait until a check holds, bounded, with a failure that tells the story:
        async def test_all_come_back(deploy, eventually):
            checkout = await deploy("checkout")
            await checkout.kube.delete("v1", "Pod", checkout.pods()[0], checkout.namespace)
            await eventually(lambda: checkout.ready() < 3, within="30s", what="one pod is gone")
            await eventually(lambda: checkout.ready() == 3, within="60s", what="three are ready")

    `check`, a function or a coroutine function, is called every `every` ("200ms") until it returns
    something true, which is returned. An AssertionError or an answer of the cluster that time may
    mend counts as not yet. When the time is up (`within`, "30s"), WaitTimeout tells what was
    wanted, what was last seen, the transitions, the active faults and the recent Warning events.
    """
    return _session.eventually
