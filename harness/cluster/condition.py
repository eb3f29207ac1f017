"""How a cluster is: running, creating, stopped, broken or foreign, and why.

Observation (`observe`) is kept apart from judgement (`judge`, pure), so that every case has a unit
test. Nothing here changes a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.cluster import clusters, kind
from harness.cluster.apiserver import ApiServer, is_ready
from harness.cluster.clusters import Cluster, ClusterRecord
from harness.cluster.kind import Container
from harness.cluster.leases import Holder, being_changed, holders
from harness.cluster.residue import left_on
from harness.errors import ClusterError
from harness.host.engine import Engine

State = Literal["running", "creating", "stopped", "broken", "foreign"]


@dataclass(frozen=True, kw_only=True)
class Api:
    """What the API server said: its identity and which nodes are Ready; or why it said nothing."""

    uid: str = ""
    ready: frozenset[str] = frozenset()
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A cluster's state in one word, and the reason in one clause (empty when all is well).

    `holders` are the living processes that use it, `engine` the container engine if one answers.
    """

    name: str
    state: State
    reason: str = ""
    record: ClusterRecord | None = None
    holders: tuple[Holder, ...] = ()
    engine: Engine | None = field(default=None, repr=False)

    @property
    def cluster(self) -> Cluster | None:
        """The handle, if the cluster runs."""
        if self.state != "running" or self.record is None:
            return None
        return self.record.cluster(self.engine)


def judge(
    record: ClusterRecord | None,
    *,
    engine_runs: bool,
    changing: bool,
    used: bool,
    containers: Sequence[Container],
    made_by_us: bool,
    residue: str,
    api: Api | None,
) -> tuple[State, str]:
    """State and reason from what was observed.

    `changing`: a living process is creating or deleting it. `used`: a living process holds a lease;
    then a paused node or a silent API server may be a fault at work, and is not held against it.
    `made_by_us`: the containers carry our mounts, although there is no record. `residue` is what a
    trial left. `api` is None if it was not worth asking.
    """
    if changing:
        return "creating", "another process makes or deletes it right now"
    if record is None:
        if made_by_us:
            return "broken", "made by the harness, but its record is gone"
        return "foreign", "a kind cluster that the harness did not make"
    if record.phase == "creating":
        return "broken", "the process that made it ended before it was ready"
    if not engine_runs:
        return "stopped", "the container engine does not run"
    states = {container.name: container.state for container in containers}
    expected = [node.name for node in record.nodes]
    missing = [name for name in expected if name not in states]
    down = [name for name in expected if states.get(name) not in ("running", "paused", None)]
    if len(missing) == len(expected):
        return "stopped", "the container engine no longer has its nodes"
    if missing:
        return "broken", f"without its node {', '.join(missing)}"
    if len(down) == len(expected):
        return "stopped", "the container engine was restarted"
    if down:
        return (
            "broken",
            f"node {', '.join(f'{name} ({states[name]})' for name in down)} does not run",
        )
    if residue:
        return "broken", f"a trial left something behind: {residue}"
    if used:
        return "running", ""
    paused = [name for name in expected if states[name] == "paused"]
    if paused:
        return "broken", f"node {', '.join(paused)} is paused, and nobody uses the cluster"
    if api is None or api.error:
        return "broken", api.error if api else "the API server was not asked"
    if api.uid != record.uid:
        return "broken", f"another cluster answers there: kube-system has UID {api.uid}"
    unready = [name for name in expected if name not in api.ready]
    if unready:
        return "broken", f"node {', '.join(unready)} is not Ready"
    return "running", ""


async def observe(
    name: str, engine: Engine | None, *, ours_to_change: bool = False
) -> Condition | None:
    """Look at one cluster; None if there is neither a record nor a container of it.

    `ours_to_change`: the caller itself holds the lifecycle lock.
    """
    record = clusters.load_record(name)
    all_containers = await kind.containers(engine) if engine else []
    return await _observe(name, record, engine, all_containers, ours_to_change=ours_to_change)


async def observe_all(engine: Engine | None) -> list[Condition]:
    """Every cluster that has a record, and every other kind cluster on the engine."""
    all_containers = await kind.containers(engine) if engine else []
    names = {*clusters.recorded(), *(container.cluster for container in all_containers)}
    found = [
        await _observe(
            name, clusters.load_record(name), engine, all_containers, ours_to_change=False
        )
        for name in sorted(names)
    ]
    return [condition for condition in found if condition is not None]


async def _observe(
    name: str,
    record: ClusterRecord | None,
    engine: Engine | None,
    all_containers: Sequence[Container],
    *,
    ours_to_change: bool,
) -> Condition | None:
    containers = [container for container in all_containers if container.cluster == name]
    if record is None and not containers:
        return None
    using = tuple(holders(clusters.folder(name)))
    alive = record is not None and any(container.state == "running" for container in containers)
    orphan = record is None and engine is not None and await _has_our_mounts(engine, containers)
    state, reason = judge(
        record,
        engine_runs=engine is not None,
        changing=not ours_to_change and being_changed(clusters.folder(name)),
        used=bool(using),
        containers=containers,
        made_by_us=orphan,
        residue=left_on(clusters.folder(name)),
        api=await _ask(record.kubeconfig) if record is not None and alive and not using else None,
    )
    return Condition(
        name=name, state=state, reason=reason, record=record, holders=using, engine=engine
    )


async def _ask(kubeconfig: Path) -> Api:
    try:
        server = ApiServer(kubeconfig)
        uid = await server.identity()
        nodes = await server.nodes()
    except ClusterError as error:
        return Api(error=error.message)
    return Api(uid=uid, ready=frozenset(name for name, node in nodes.items() if is_ready(node)))


async def _has_our_mounts(engine: Engine, containers: Sequence[Container]) -> bool:
    """The nodes were made by a harness whose state folder is no longer there."""
    for container in containers:
        source = (await kind.mounts(engine, container.name)).get(Path("/etc/harness"))
        if source is not None:
            return not (source.parent / "state.json").exists()
    return False
