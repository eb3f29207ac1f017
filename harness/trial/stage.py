"""What a trial does to the world, step by step, each step on its own: no order is decided here.

Placing a subject in namespaces of its own, deploying it, load on its entry, injecting, measuring,
healing and removing. Every step records what it sees in the history. The order is decided by
`harness.trial.trial`, or by the author of a test through the fixtures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from itertools import groupby

from harness.addons import addons
from harness.cluster.leases import lease_entry_port
from harness.declare import Load
from harness.errors import ClusterError, HarnessError, ResidueError, WaitTimeout
from harness.faults import own_pods
from harness.faults.base import Fault, FaultContext, Met
from harness.faults.proxied import stand_in_path
from harness.history.facts import Json
from harness.history.history import History
from harness.history.records import SCHEMA, SECOND
from harness.history.run_files import MANIFESTS_FILE, REQUESTS_FILE
from harness.history.writer import Writer
from harness.host.files import private_folder, write_json
from harness.judgement.exposure import felt
from harness.kube.client import ApiError
from harness.kube.eventually import eventually
from harness.load.generator import Generator, getting_ready
from harness.manifest.facts import facts
from harness.manifest.images import images
from harness.manifest.interpose import led_to
from harness.manifest.objects import Object, find, overlaid
from harness.manifest.variants import apply_order
from harness.nodes.audit import AuditLog
from harness.nodes.images import pull
from harness.redaction import redacted
from harness.trial.entry import entry_answers, entry_service
from harness.trial.equipment import needed_addons
from harness.trial.observer import Observer
from harness.trial.placement import CannotConclude, Connections, Listener, Placement
from harness.trial.startup import (
    calm_needed_s,
    in_waves,
    last_disturbance,
    own_words,
    start_bound,
    unready,
)
from harness.undo import baseline, cluster_scoped, namespaces
from harness.undo.ledger import Entry
from harness.undo.record import Record
from harness.units import seconds

DEPENDENCIES_S = 60.0
"""A database that is not up by then may wait for the workload itself, which is started anyway."""


ENTRY_S = 10.0
"""Nodes know a new NodePort within a second or two; if nothing answers then, the load will tell."""

SETTLED_S = 60.0
"""What controllers of the cluster delete by themselves is gone by then; the rest is residue."""


class Stage:
    """One subject on one cluster, and its history."""

    def __init__(self, placement: Placement, connections: Connections, listener: Listener) -> None:
        private_folder(placement.folder)
        self.placement = placement
        self.connections = connections
        self.listener = listener
        self.history = History()
        self.writer = Writer(placement.folder, mirror=self.history)
        self.observer = Observer(connections.kube, self.history, self.writer)
        self.faults = list(placement.faults)
        self.namespaces = list(placement.isolation.namespaces.values())
        self.roles = placement.placed_roles()
        self.objects = list(placement.isolation.objects)
        self.released = list(placement.released)
        self.context = FaultContext(
            trial=placement.trial,
            cluster=connections.cluster,
            kube=connections.kube,
            nodes=connections.nodes,
            ledger=connections.ledger,
            roles=self.roles,
            namespace=placement.isolation.namespaces[placement.subject.subject.namespace],
            images=placement.images,
            tell=self.writer.append,
            scale=placement.scale,
            standing=placement.isolation.objects,
            released=self.released,
        )
        self._audit = AuditLog(
            connections.nodes, [n.name for n in connections.cluster.control_planes]
        )
        self._generator: asyncio.subprocess.Process | None = None
        self._before: baseline.Snapshot | None = None
        self._before_faults: frozenset[str] = frozenset()
        self._told: set[tuple[int, int, str, bool]] = set()

    # -- before the fault -------------------------------------------------------------------

    def introduce(self) -> None:
        """The first two records: what the trial is, and what its manifests say of the roles."""
        placement = self.placement
        self.writer.append(
            "trial",
            schema=SCHEMA,
            trial=placement.trial,
            onset=" and ".join(f.onset for f in self.faults),
            faults=[asdict(f.facts()) for f in self.faults],
            seed=placement.seed,
            scale=placement.scale,
            cluster=self.connections.cluster.name,
            namespaces=dict(placement.isolation.namespaces),
            versions=asdict(self.connections.cluster.versions),
            **placement.declared,
        )
        found = facts(self.after_release, self.roles, scale=placement.scale)
        self.writer.append(
            "facts", scale=found.scale, roles={n: asdict(r) for n, r in found.roles.items()}
        )

    @property
    def after_release(self) -> list[Object]:
        """The subject's objects, in each place what the release brings."""
        return overlaid(self.objects, self.released)

    async def prepare(self) -> None:
        """Let faults stand in the path, store the manifests, have the images on the nodes, take
        the baseline."""
        for fault in self.faults:
            self.objects = fault.prepare(self.objects, self.context)
        for role in self.placement.in_path:
            self.objects = stand_in_path(self.objects, self.context.role(role), self.context)
        manifests = self.placement.folder / MANIFESTS_FILE
        manifests.parent.mkdir(exist_ok=True)
        write_json(manifests, redacted(self.after_release, aside=self.placement.trial))
        wanted = [*images([*self.objects, *self.released]), *self.placement.images.values()]
        nodes = [node.name for node in self.connections.cluster.nodes]
        await pull(self.connections.nodes, nodes, wanted)
        self._before = await baseline.snapshot(self.connections.kube, self.connections.nodes)
        if silent := {name: n.silent for name, n in self._before.nodes.items() if n.silent}:
            told = "; ".join(f"node {name} cannot be asked: {why}" for name, why in silent.items())
            raise CannotConclude("harness", f"no baseline of what is in the nodes: {told}")
        for name in needed_addons(self.faults):
            addons.use(
                name,
                self.connections.ledger,
                cluster=self.connections.cluster,
                trial=self.placement.trial,
                namespaces=[*self.namespaces, self.context.own_namespace],
            )
        await self._audit.start()

    async def deploy(self) -> None:
        """Apply everything, recorded first, and wait until every workload is ready to stay.

        Our own pods come before anything of the subject's. What others depend on goes first, and is
        given a while to be ready. A liveness probe that failed while the subject came up may have
        one failure left, and kill what is ready already. Raises CannotConclude, blaming the
        subject in its own words, if that takes longer than its manifests allow.
        """
        connections, trial = self.connections, self.placement.trial
        ours = own_pods.ours(self.objects, self.context)
        self.objects = led_to(self.objects, await own_pods.up(self.context, ours))
        for name in self.namespaces:
            await namespaces.create(
                connections.kube,
                connections.ledger,
                cluster=connections.cluster,
                name=name,
                trial=trial,
                labels=self._labels_of(name),
            )
        rest = [o for o in self.objects if o["kind"] != "Namespace"]
        for obj in apply_order([o for o in rest if not o["metadata"].get("namespace")]):
            await cluster_scoped.create(
                connections.kube, connections.ledger, obj, cluster=connections.cluster, trial=trial
            )
        placed = [o for o in rest if o["metadata"].get("namespace") and o not in ours]
        waves = in_waves(placed, self.placement.isolation.objects, self.roles)
        await connections.kube.apply_all(waves.first)
        if waves.later:
            # One that never gets ready is told of below, with all the others.
            with suppress(WaitTimeout):
                await eventually(
                    lambda: not unready(self.observer.store, waves.dependencies),
                    within=DEPENDENCIES_S,
                    every=0.25,
                    what="what the subject depends on is ready",
                )
            await connections.kube.apply_all(waves.later)

        def stays() -> bool:
            if unready(self.observer.store, self.objects):
                return False
            now = time.monotonic_ns()
            calm = now - last_disturbance(self.history, self.objects, now)
            return calm >= calm_needed_s(self.history, self.objects) * SECOND

        bound = start_bound(self.objects)
        try:
            await eventually(
                stays,
                within=bound,
                every=0.25,
                what="every workload of the subject is ready, and stays so",
                context=self.observer,
            )
        except WaitTimeout as error:
            self.writer.append("note", text=str(error))
            missing = "; ".join(unready(self.observer.store, self.objects))
            what = f"not ready {bound:.0f} s after it was applied: {missing}"
            if not missing:
                what = f"ready, but restarting: not one calm liveness round in {bound:.0f} s"
            told = "; ".join([what, *own_words(self.history)])
            raise CannotConclude("subject", f"before any fault: {told}") from error

    # -- load -------------------------------------------------------------------------------

    async def entry(self, stack: AsyncExitStack) -> str:
        """Map the entry Service to a leased port on 127.0.0.1 for as long as `stack` is open."""
        cluster = self.connections.cluster
        role = self.context.role("entry")
        service = find(self.objects, role.ref)
        for _ in cluster.entry_ports:
            port = await stack.enter_async_context(
                lease_entry_port(cluster.folder, cluster.entry_ports, wait=timedelta(seconds=60))
            )
            try:
                await self.connections.kube.apply(entry_service(service, role.ref, port.node_port))
            except ApiError as error:
                if "already allocated" not in error.detail:
                    raise
                # A trial that was killed holds no lease any more, but its Service lives until it is
                # healed. Keeping this lease makes the next one another port's.
                continue
            return f"http://127.0.0.1:{port.host_port}"
        raise ClusterError(
            "every entry port is taken by a Service of a trial that was killed",
            remedy="run `harness heal`",
        )

    async def ready_the_load(self, stack: AsyncExitStack) -> None:
        """Begin what takes the generator seconds before it can send anything; `load` uses it."""
        self._generator = await stack.enter_async_context(
            getting_ready(self.placement.folder / REQUESTS_FILE)
        )

    async def load(self, stack: AsyncExitStack, asked: Load | None = None) -> Generator:
        """Load on the entry for as long as `stack` is open; its requests join the history.

        `asked` replaces the load of the placement.
        """
        url = await self.entry(stack)
        if not await entry_answers(url, within=ENTRY_S):
            self.writer.append("note", text=f"the entry gave no answer for {ENTRY_S:.0f} s")
        path = self.placement.folder / REQUESTS_FILE
        self.history.follow_requests(path)
        declared = (asked or self.placement.load).scaled(self.placement.scale)
        own = self.placement.subject.load
        load = Load(
            rate=declared.rate if declared.rate is not None else own.rate,
            endpoints=declared.endpoints,
            arrivals=declared.arrivals,
            timeout=declared.timeout,
            locustfile=declared.locustfile or (str(own.locustfile) if own.locustfile else None),
        )
        return await stack.enter_async_context(
            Generator.start(
                url,
                load,
                path,
                self.placement.seed,
                endpoints=own.endpoints,
                process=self._generator,
            )
        )

    # -- the fault --------------------------------------------------------------------------

    def add_fault(self, fault: Fault) -> int:
        """The fault's number in the history; for tests, which name faults after the deployment."""
        if fault not in self.faults:
            self.faults.append(fault)
            self.writer.append("fault", step="declared", facts=asdict(fault.facts()))
        return self.faults.index(fault)

    def about_to_inject(self) -> frozenset[str]:
        """From here on every new record of this trial in the ledger is a fault's.

        Returns the ids of those before, which `heal` takes.
        """
        self._before_faults = frozenset(r.id for r in self.connections.ledger.open_records)
        return self._before_faults

    async def measure(self, index: int) -> bool:
        """One measurement of a fault, recorded; True if it was felt."""
        began = time.monotonic_ns()
        got = await self.faults[index].measure(self.context)
        self.writer.append(
            "measurement",
            fault=index,
            began=began,
            felt=got.felt,
            asked=got.asked,
            achieved=got.achieved,
            note=got.note,
            cured=got.cured,
        )
        for each in got.met:
            self._met(index, each)
        return got.felt

    def _met(self, index: int, seen: Met) -> None:
        """Recorded once for each who met it, and once more for every control run."""
        control = self.history.phase("control")
        which = (control.begin if control else 0, index, seen.by, seen.count > 0)
        if which not in self._told:
            self._told.add(which)
            self.writer.append("met", fault=index, **asdict(seen))

    async def heal(
        self, *, before: frozenset[str] | None = None, faults: Sequence[int] | None = None
    ) -> None:
        """Undo what injection recorded, newest first; then no measurement may feel it.

        Where injections are nested, `before` is what `about_to_inject` returned for this one, and
        `faults` are its own; they are measured even if they were healed too soon to be felt.
        """
        known = self._before_faults if before is None else before
        failed = await self._undo([r for r in self._records() if r.id not in known])
        if failed:
            raise ResidueError(
                "; ".join(failed),
                remedy="run `harness heal`; if that fails too, `harness up --rebuild`",
            )
        for index in range(len(self.faults)) if faults is None else faults:
            if faults is not None or felt(self.history, index).ever:
                await self._until_not_felt(index, self.faults[index])

    async def _until_not_felt(self, index: int, fault: Fault) -> None:
        async def gone() -> bool:
            return not await self.measure(index)

        await eventually(
            gone,
            within=seconds(fault.healed_within),
            every=0.3,
            what=f"{fault.describe()} is no longer felt after healing",
            context=self.observer,
        )

    # -- afterwards -------------------------------------------------------------------------

    async def read_audit(self) -> None:
        """Who changed what in the trial's namespaces; no verdict needs it."""
        try:
            found = await self._audit.read(self.namespaces)
        except HarnessError as error:
            self.writer.append("note", text=f"the audit log was not read: {error.message}")
            return
        for record in found:
            self.writer.append("audit", **asdict(record))

    async def remove(self) -> tuple[str, ...]:
        """Undo all that is left of this trial in the ledger: what was deployed, newest first.

        What is of one kind goes at once: a namespace takes seconds to go. Returns what could not be
        undone, in words.
        """
        failed: list[str] = []
        for _, alike in groupby(self._records(), key=lambda record: record.kind):
            for told in await asyncio.gather(*(self._undo([record]) for record in alike)):
                failed += told
        return tuple(failed)

    def _records(self) -> list[Record]:
        return [r for r in self.connections.ledger.open_records if r.trial == self.placement.trial]

    async def _undo(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Undo every record; one that fails keeps none of the others from being tried."""
        failed: list[str] = []
        for record in records:
            self.listener.status(self.placement.trial, f"undoing {record.kind}")
            try:
                await Entry(self.connections.ledger, record).undo(self.connections.world)
            except Exception as error:  # noqa: BLE001  an undo is anybody's code
                why = error.message if isinstance(error, HarnessError) else repr(error)
                failed.append(f"not undone: {record}: {why}")
            else:
                self.writer.append("fault", step="undone", text=str(record))
        return tuple(failed)

    async def residue(self) -> tuple[str, ...]:
        """What is not as it was before, in words; recorded."""
        if self._before is None:
            return ()
        scope = baseline.ResidueScope(
            trial=self.placement.trial, exclusive=self.placement.exclusive
        )
        deadline = time.monotonic() + SETTLED_S
        while True:
            after = await baseline.snapshot(self.connections.kube, self.connections.nodes)
            found = tuple(str(r) for r in baseline.compare(self._before, after, scope))
            # Nodes lose their taints, and their guards end, seconds after the heal.
            if not found or time.monotonic() > deadline:
                break
            await asyncio.sleep(1.0)
        if found:
            self.writer.append("residue", what=list(found))
        return found

    # -- telling ----------------------------------------------------------------------------

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Mark a phase's begin and end in the history, however it ends."""
        self.writer.append("phase", phase=name, edge="begin")
        self.listener.phase(self.placement.trial, name)
        try:
            yield
        finally:
            self.writer.append("phase", phase=name, edge="end")

    def tell(self, done: float, total: float, text: str) -> None:
        """Progress of the phase, and how the subject is doing."""
        self.listener.progress(self.placement.trial, done, total, text)
        self.history.poll()
        workload = self.history.facts.roles.get("workload")
        if workload is None:
            return
        now = time.monotonic_ns()
        recent = self.history.requests.between(now - 3 * SECOND, now - SECOND)
        served = f"{recent.availability():.0%} ok" if len(recent) else "no load yet"
        ready = self.history.ready_at("workload", now)
        restarts = len(self.history.restarts("workload"))
        self.listener.status(
            self.placement.trial,
            f"{served}, ready {ready}/{workload.replicas}, {restarts} restarts",
        )

    def problem(self, blame: str, message: str) -> None:
        """Record what makes the trial inconclusive."""
        self.writer.append("problem", blame=blame, message=message)

    # -- inside -----------------------------------------------------------------------------

    def _labels_of(self, namespace: str) -> Json:
        """Labels that the subject's own Namespace object declares, such as Pod Security's."""
        for obj in self.objects:
            if obj["kind"] == "Namespace" and obj["metadata"]["name"] == namespace:
                return dict(obj["metadata"].get("labels") or {})
        return {}
