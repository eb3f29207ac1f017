"""One trial, its phases in reading order: the only place that knows the order.

preflight, prepare, deploy, control, inject, felt, sustain, heal, recover, remove, prove clean. A
trial records; it stores no verdict. It asks the objectives only whether they are still open, to end
a phase early or to stop when the control run is lost. Whatever happens in between, healing comes
from the ledger, and comes last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import orjson

from harness import verdict
from harness.cluster import baseline, namespaces, scoped
from harness.cluster.api import Kube
from harness.cluster.audit import AuditLog
from harness.cluster.clusters import Cluster
from harness.cluster.eventually import eventually
from harness.cluster.leases import lease_entry_port
from harness.cluster.ledger import Entry, Ledger
from harness.cluster.nodes import NodeCommands
from harness.cluster.world import World
from harness.declare import Expect, Load, Scenario
from harness.errors import HarnessError, HostError, ManifestError, WaitTimeout
from harness.faults.base import Fault, FaultContext
from harness.history import REQUESTS_FILE, SCHEMA, SECOND, History, Writer
from harness.load.generator import Generator
from harness.manifest.facts import facts
from harness.manifest.isolation import Isolation
from harness.manifest.objects import Object, Ref, find, service_port
from harness.manifest.subject_file import Role, SubjectFile
from harness.manifest.variants import apply_order
from harness.observer import Observer
from harness.rollout import unready
from harness.units import seconds

DEPLOY_S = 180.0
"""A subject that is not up by then is broken before any fault."""
FELT_S = 60.0
"""A fault that no measurement felt by then will not be felt."""
SUSTAIN_MARGIN_S = 60.0
RECOVER_MARGIN_S = 20.0
MEASURE_EVERY_S = 1.0
"""Pause between two measurements of a fault; each also renews what expires by itself."""


class Listener(Protocol):
    """Who is told how a trial proceeds; the console is one."""

    def phase(self, trial: str, name: str) -> None: ...

    def progress(self, trial: str, done: float, total: float, text: str) -> None: ...

    def status(self, trial: str, text: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one trial is to do: everything decided, nothing done.

    `isolation` has the variant's objects, rendered, scaled, with images by digest, in the trial's
    own namespaces; `images` are the harness's own. `exclusive`: the cluster is leased to this trial
    alone.
    """

    trial: str
    scenario: Scenario
    variant: str
    expect: Expect
    subject: SubjectFile
    isolation: Isolation
    exclusive: bool
    scale: int
    seed: int
    folder: Path
    images: Mapping[str, str]
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What trials stand on: one cluster and the connections to it, and this process's ledger."""

    cluster: Cluster
    kube: Kube
    nodes: NodeCommands
    ledger: Ledger
    world: World


class Inconclusive(Exception):  # noqa: N818 - it is a verdict, not an error
    """The trial cannot go on to a verdict; `blame` is harness, host or subject."""

    def __init__(self, blame: str, message: str) -> None:
        super().__init__(message)
        self.blame = blame


@dataclass(frozen=True)
class Ended:
    """What a trial leaves behind: its history, and what could not be removed."""

    history: History
    residue: tuple[str, ...]


async def run_trial(plan: Plan, ground: Ground, listener: Listener) -> Ended:
    """Carry out one trial and return its history; raises only if it was interrupted.

    Whatever else goes wrong is a `problem` in the history, which makes the verdict inconclusive.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    history = History()
    writer = Writer(plan.folder, mirror=history)
    trial = _Trial(plan, ground, listener, history, writer)
    try:
        residue = await trial.run()
    finally:
        writer.close()
    history.poll()
    return Ended(history, residue)


class _Trial:
    """The state that the phases share."""

    def __init__(
        self, plan: Plan, ground: Ground, listener: Listener, history: History, writer: Writer
    ) -> None:
        self.plan = plan
        self.ground = ground
        self.listener = listener
        self.history = history
        self.writer = writer
        self.observer = Observer(ground.kube, history, writer)
        self.faults: Sequence[Fault] = [f for f in plan.scenario.faults if isinstance(f, Fault)]
        self.objectives = plan.scenario.objectives
        self.isolation = plan.isolation
        self.context: FaultContext
        self.objects: list[Object] = []
        self._audit = AuditLog(ground.nodes, [n.name for n in ground.cluster.control_planes])
        self._before: baseline.Snapshot | None = None
        self._before_fault: set[str] = set()

    async def run(self) -> tuple[str, ...]:
        """All phases; returns the residue, in words."""
        try:
            try:
                with self._phase("preflight"):
                    await self._preflight()
                with self._phase("prepare"):
                    await self._prepare()
                async with self.observer.watching(list(self.isolation.namespaces.values())):
                    with self._phase("deploy"):
                        await self._deploy()
                    await self._under_load()
            except Inconclusive as reason:
                self._problem(reason.blame, str(reason))
            except HarnessError as error:
                self._problem(_blame(error), error.message)
        finally:
            # Also when interrupted: an asyncio task may await freely once its cancellation came.
            with self._phase("remove"):
                await self._remove()
        with self._phase("prove clean"):
            return await self._prove_clean()

    # -- before the fault -------------------------------------------------------------------

    async def _preflight(self) -> None:
        plan = self.plan
        self.ground.cluster.require_faults_allowed()
        roles = {n: self._placed(r) for n, r in plan.subject.roles.items()}
        self.writer.append(
            "trial",
            schema=SCHEMA,
            trial=plan.trial,
            slug=plan.scenario.slug,
            title=plan.scenario.title,
            variant=plan.variant,
            scenario=plan.scenario.to_json(),
            expect={
                "verdict": plan.expect.verdict,
                "shows": [each.to_json() for each in plan.expect.shows],
            },
            onset=" and ".join(f.onset for f in self.faults),
            seed=plan.seed,
            scale=plan.scale,
            cluster=self.ground.cluster.name,
            namespaces=dict(self.isolation.namespaces),
            versions=dict(plan.versions),
            notes=[*plan.notes, *self.isolation.why],
        )
        found = facts(self.isolation.objects, roles, scale=plan.scale)
        self.writer.append(
            "facts", scale=found.scale, roles={n: asdict(r) for n, r in found.roles.items()}
        )
        self.context = FaultContext(
            trial=plan.trial,
            cluster=self.ground.cluster,
            kube=self.ground.kube,
            nodes=self.ground.nodes,
            ledger=self.ground.ledger,
            roles=roles,
            namespace=self.isolation.namespaces[plan.subject.subject.namespace],
            images=plan.images,
        )
        for fault in self.faults:
            support = fault.target_support(self.context.role(fault.target), self.isolation.objects)
            if support.state == "unsupported":
                raise Inconclusive("subject", f"{fault.describe()}: {support.why}")
            if support.state == "degraded":
                self.writer.append("note", text=f"{fault.describe()}: {support.why}")

    async def _prepare(self) -> None:
        objects = list(self.isolation.objects)
        for fault in self.faults:
            objects = fault.prepare(objects, self.context)
        self.objects = objects
        folder = self.plan.folder / "manifests"
        folder.mkdir(exist_ok=True)
        (folder / "objects.json").write_bytes(orjson.dumps(objects, option=orjson.OPT_INDENT_2))
        self._before = await baseline.snapshot(self.ground.kube)
        if self.ground.cluster.owned:
            await self._audit.start()

    async def _deploy(self) -> None:
        ground, plan = self.ground, self.plan
        for name in self.isolation.namespaces.values():
            await namespaces.create(
                ground.kube,
                ground.ledger,
                cluster=ground.cluster,
                name=name,
                trial=plan.trial,
                labels=self._labels_of(name),
            )
        rest = [o for o in self.objects if o["kind"] != "Namespace"]
        for obj in apply_order([o for o in rest if not o["metadata"].get("namespace")]):
            await scoped.create(
                ground.kube, ground.ledger, obj, cluster=ground.cluster, trial=plan.trial
            )
        await ground.kube.apply_all([o for o in rest if o["metadata"].get("namespace")])
        try:
            await self.observer.store.wait(
                lambda store: not unready(store, self.objects),
                within=DEPLOY_S,
                what="every workload of the subject is ready",
                context=self.observer,
            )
        except WaitTimeout as error:
            missing = unready(self.observer.store, self.objects)
            self.writer.append("note", text=str(error))
            raise Inconclusive(
                "subject",
                f"before any fault: not ready {DEPLOY_S:.0f} s after it was applied: "
                + "; ".join(missing),
            ) from error

    # -- under load -------------------------------------------------------------------------

    async def _under_load(self) -> None:
        """Control, inject, felt, sustain, heal, recover; the fault is healed on every way out."""
        async with AsyncExitStack() as stack:
            url = await self._entry(stack)
            self.history.follow_requests(self.plan.folder / REQUESTS_FILE)
            generator = await stack.enter_async_context(
                Generator.start(
                    url,
                    self._load(),
                    self.plan.folder / REQUESTS_FILE,
                    self.plan.seed,
                    endpoints=self.plan.subject.load.endpoints,
                )
            )
            with self._phase("control"):
                await self._control(generator)
            try:
                with self._phase("inject"):
                    # From here on every record of this trial in the ledger is a fault's.
                    self._before_fault = {e.id for e in self.ground.ledger.open_records}
                    for fault in self.faults:
                        await fault.inject(self.context)
                with self._phase("felt"):
                    await self._felt(generator)
                with self._phase("sustain"):
                    await self._sustain(generator)
            finally:
                with self._phase("heal"):
                    await self._heal()
            with self._phase("recover"):
                await self._recover(generator)
            await generator.stop()
            await self._read_audit()

    async def _control(self, generator: Generator) -> None:
        length = seconds(self.plan.scenario.control)
        begin = time.monotonic()
        for index, fault in enumerate(self.faults):
            if await self._measure(index, fault):
                raise Inconclusive(
                    "subject",
                    f"before any fault: {fault.describe()} is felt already, so the fault could "
                    "not be told from the subject's own state",
                )
        while (passed := time.monotonic() - begin) < length:
            generator.check()
            self._tell(passed, length, "serving without a fault")
            await asyncio.sleep(0.25)
        self.history.poll()
        lost = [
            finding.reason
            for _, finding in verdict.control_findings(self.history, self.objectives)
            if finding.state == "broken"
        ]
        if lost:
            # The phase's own end lets objectives that ask for a whole control run speak later.
            raise Inconclusive("subject", "before any fault: " + "; ".join(lost))

    async def _felt(self, generator: Generator) -> None:
        deadline = time.monotonic() + FELT_S
        waiting = set(range(len(self.faults)))
        while waiting and time.monotonic() < deadline:
            generator.check()
            for index in sorted(waiting):
                if await self._measure(index, self.faults[index]):
                    waiting.discard(index)
            self._tell(len(self.faults) - len(waiting), len(self.faults), "faults felt")
            if waiting:
                await asyncio.sleep(MEASURE_EVERY_S)

    async def _sustain(self, generator: Generator) -> None:
        """Until exposure is reached or all evidence is in; the bound only ends a lost trial."""
        needed = verdict.exposure_needed(self.history, self.objectives, self.faults)
        deadline = time.monotonic() + needed.seconds + SUSTAIN_MARGIN_S
        if not all(verdict.felt(self.history, i).ever for i in range(len(self.faults))):
            return
        while time.monotonic() < deadline:
            generator.check()
            self.history.poll()
            if verdict.settled(self.history, self.objectives, self.faults, self.plan.expect):
                return
            for index, fault in enumerate(self.faults):
                await self._measure(index, fault)
            done = min(verdict.felt(self.history, i).seconds for i in range(len(self.faults)))
            self._tell(done, needed.seconds, "felt")
            await asyncio.sleep(MEASURE_EVERY_S)

    # -- after the fault --------------------------------------------------------------------

    async def _heal(self) -> None:
        """Undo what injection recorded, newest first; then no measurement may feel it."""
        for record in self.ground.ledger.open_records:
            if record.trial == self.plan.trial and record.id not in self._before_fault:
                await Entry(self.ground.ledger, record).undo(self.ground.world)
                self.writer.append("fault", step="healed", text=str(record))
        for index, fault in enumerate(self.faults):
            if verdict.felt(self.history, index).ever:
                await self._until_not_felt(index, fault)

    async def _read_audit(self) -> None:
        """Who changed what in the trial's namespaces; only clusters of ours keep such a log."""
        if not self.ground.cluster.owned:
            return
        for record in await self._audit.read(self.isolation.namespaces.values()):
            self.writer.append("audit", **asdict(record))

    async def _until_not_felt(self, index: int, fault: Fault) -> None:
        async def gone() -> bool:
            return not await self._measure(index, fault)

        await eventually(
            gone,
            within=30.0,
            every=0.3,
            what=f"{fault.describe()} is no longer felt after healing",
            context=self.observer,
        )

    async def _recover(self, generator: Generator) -> None:
        bounds = [o.bound(self.history.facts) for o in self.objectives if hasattr(o, "bound")]
        total = max(bounds, default=0.0) + RECOVER_MARGIN_S
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < total:
            generator.check()
            self.history.poll()
            if verdict.decided(self.history, self.objectives):
                return
            self._tell(passed, total, "recovering")
            await asyncio.sleep(0.5)

    async def _remove(self) -> None:
        """Undo all that is left of this trial in the ledger: what was deployed, newest first."""
        for record in self.ground.ledger.open_records:
            if record.trial == self.plan.trial:
                self._tell(0, 1, f"removing {record.kind}")
                await Entry(self.ground.ledger, record).undo(self.ground.world)

    async def _prove_clean(self) -> tuple[str, ...]:
        if self._before is None:
            return ()
        after = await baseline.snapshot(self.ground.kube)
        scope = baseline.Scope(trial=self.plan.trial, exclusive=self.plan.exclusive)
        residue = tuple(str(r) for r in baseline.compare(self._before, after, scope))
        if residue:
            self.writer.append("residue", what=list(residue))
        return residue

    # -- what the phases use ----------------------------------------------------------------

    async def _entry(self, stack: AsyncExitStack) -> str:
        """Map the entry Service to a leased port on 127.0.0.1; returns its URL."""
        cluster = self.ground.cluster
        role = self.context.role("entry")
        port = await stack.enter_async_context(
            lease_entry_port(cluster.folder, cluster.entry_ports, wait=timedelta(seconds=60))
        )
        service = find(self.objects, role.ref)
        await self.ground.kube.apply(entry_service(service, role.ref, port.node_port))
        return f"http://127.0.0.1:{port.host_port}"

    def _load(self) -> Load:
        declared, own = self.plan.scenario.load, self.plan.subject.load
        return Load(
            rate=declared.rate if declared.rate is not None else own.rate,
            endpoints=declared.endpoints,
            arrivals=declared.arrivals,
            timeout=declared.timeout,
            locustfile=declared.locustfile or (str(own.locustfile) if own.locustfile else None),
        )

    def _labels_of(self, namespace: str) -> dict[str, str]:
        """Labels that the subject's own Namespace object declares, such as Pod Security's."""
        for obj in self.objects:
            if obj["kind"] == "Namespace" and obj["metadata"]["name"] == namespace:
                return dict(obj["metadata"].get("labels") or {})
        return {}

    def _placed(self, role: Role) -> Role:
        """The role with its object in the trial's namespace."""
        namespace = role.ref.namespace or self.plan.subject.subject.namespace
        placed = self.isolation.namespaces.get(namespace, namespace)
        ref = Ref(role.ref.kind, role.ref.name, placed, role.ref.port)
        return role.model_copy(update={"ref": ref})

    async def _measure(self, index: int, fault: Fault) -> bool:
        got = await fault.measure(self.context)
        self.writer.append(
            "measurement",
            fault=index,
            felt=got.felt,
            asked=got.asked,
            achieved=got.achieved,
            note=got.note,
        )
        return got.felt

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.writer.append("phase", phase=name, edge="begin")
        self.listener.phase(self.plan.trial, name)
        try:
            yield
        finally:
            self.writer.append("phase", phase=name, edge="end")

    def _tell(self, done: float, total: float, text: str) -> None:
        self.listener.progress(self.plan.trial, done, total, text)
        self.history.poll()
        roles = self.history.facts.roles
        if "workload" in roles:
            ready = self.history.ready_at("workload", time.monotonic_ns())
            restarts = len(self.history.restarts("workload"))
            recent = self.history.requests.between(time.monotonic_ns() - 2 * SECOND, None)
            served = f"{recent.availability():.0%} ok" if len(recent) else "no load"
            self.listener.status(
                self.plan.trial,
                f"{served}, ready {ready}/{roles['workload'].replicas}, {restarts} restarts",
            )

    def _problem(self, blame: str, message: str) -> None:
        self.writer.append("problem", blame=blame, message=message)


def entry_service(service: Object, ref: Ref, node_port: int) -> Object:
    """A NodePort Service beside the entry Service, with its selector and its one port."""
    port = service_port(service, ref.port)
    selector = service["spec"].get("selector")
    if not selector:
        raise ManifestError(
            f"the entry {ref} has no selector, so no load can be sent to its pods",
            remedy="bind the role entry to a Service that selects the pods which take requests",
        )
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "harness-entry",
            "namespace": ref.namespace,
            "labels": {"app.kubernetes.io/managed-by": "resilience-harness"},
        },
        "spec": {
            "type": "NodePort",
            "selector": selector,
            "ports": [
                {
                    "port": port["port"],
                    "targetPort": port.get("targetPort", port["port"]),
                    "nodePort": node_port,
                }
            ],
        },
    }


def _blame(error: HarnessError) -> str:
    if isinstance(error, HostError):
        return "host"
    return "subject" if isinstance(error, ManifestError) else "harness"
