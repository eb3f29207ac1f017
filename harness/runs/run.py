"""A run: the trials of one command, in one folder.

Chooses what applies, renders and checks every manifest before anything starts, gives each trial its
lease, judges, and writes what reports and `harness judge` read. The phases of one trial are in
`harness.trial.trial`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from harness.addons import addons
from harness.cluster import capacity, lifecycle
from harness.cluster.attach import attach
from harness.cluster.capacity import Room
from harness.cluster.clusters import Cluster
from harness.cluster.leases import cluster_lease
from harness.cluster.shapes import smallest
from harness.declare import AS_GIVEN, Scenario
from harness.errors import HarnessError, UsageError
from harness.images.render import render
from harness.images.supply import Supply
from harness.judgement.verdict import Result, judge
from harness.kube.client import Kube
from harness.manifest import images as manifest_images
from harness.manifest import scale as manifest_scale
from harness.manifest import validate
from harness.manifest.isolation import Isolation, isolate
from harness.manifest.objects import Object
from harness.manifest.subject_file import SubjectFile, load_subject
from harness.nodes.nodes import node_commands
from harness.runs import catalog
from harness.runs.catalog import Found, NotApplicable
from harness.runs.folder import (
    TRIAL_FILE,
    VERDICT_FILE,
    Summary,
    finish,
    new_folder,
    read_run,
    write_json,
)
from harness.trial.stage import Ground, Listener, Placement, equip, needed_addons
from harness.trial.trial import Plan, run_trial
from harness.undo.healing import HealReport, heal_dead
from harness.undo.ledger import Ledger
from harness.undo.reach import open_world


class RunListener(Listener, Protocol):
    """Who is told how a run proceeds."""

    def chosen(
        self, variants: Mapping[str, Sequence[str]], left_out: Sequence[NotApplicable]
    ) -> None: ...

    def begin(self, trial: str, title: str, variant: str) -> None: ...

    def end(self, trial: str, result: Result) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is asked of a run.

    `subject` None: each scenario with its own sample subject, judged by outcome. `variants` empty:
    all. `faithful`: probe timings unscaled. `shape`: at least this one; None:
    the smallest that serves. `cluster` None: the default one of the shape needed.
    """

    scenarios: Sequence[str] = ()
    variants: Sequence[str] = ()
    subject: Path | None = None
    faithful: bool = False
    seed: int | None = None
    shape: str | None = None
    cluster: str | None = None
    context: str | None = None
    folder: Path | None = None
    scenarios_folder: Path | None = None
    command: Sequence[str] = ()


@dataclass(frozen=True)
class TrialEnd:
    """One finished trial."""

    plan: Plan
    result: Result
    residue: tuple[str, ...]
    seconds: float


@dataclass
class RunEnd:
    """A finished run; `exit_code` as in the design."""

    folder: Path
    trials: list[TrialEnd] = field(default_factory=list)
    not_applicable: list[NotApplicable] = field(default_factory=list)
    exit_code: int = 0


@dataclass(frozen=True)
class Prepared:
    """A scenario with its variants' manifests, rendered and checked; nothing has started."""

    scenario: Scenario
    subject: SubjectFile
    variants: Mapping[str, Sequence[Object]]
    scale: int
    notes: tuple[str, ...]


async def run(options: Options, listener: RunListener) -> RunEnd:
    """Carry out a run. Raises HarnessError for what is wrong before any trial starts."""
    found = catalog.choose(catalog.discover(options.scenarios_folder), options.scenarios)
    end = RunEnd(options.folder or new_folder())
    chosen, end.not_applicable = select(found, options)
    supply = Supply()
    prepared: list[Prepared] = []
    for candidate, subject in chosen:
        made = await prepare(candidate, subject, options, supply)
        if isinstance(made, NotApplicable):
            end.not_applicable.append(made)
        else:
            prepared.append(made)
    if not prepared:
        reasons = "\n    ".join(f"{n.slug}: {n.why}" for n in end.not_applicable)
        raise UsageError(
            f"no scenario applies:\n    {reasons}",
            remedy="bind the roles that are missing in harness.toml, or choose other scenarios",
        )
    if options.subject is not None:
        scenarios = {each.scenario.slug: list(each.variants) for each in prepared}
        listener.chosen(scenarios, end.not_applicable)
    end.folder.mkdir(parents=True, exist_ok=True)
    if options.context is None:
        # Minutes of compiling do not belong between two trials.
        for name in needed_addons(f for p in prepared for f in catalog.faults_of(p.scenario)):
            await addons.build(name)
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    started = time.time()
    async with ground(options, smallest(p.scenario.shape for p in prepared)) as stand:
        for each in prepared:
            await _scenario(each, stand, supply, seed, end, listener)
    finish(
        end.folder,
        [t.plan.placement.folder.name for t in end.trials],
        [t.result for t in end.trials],
        Summary(
            started=started,
            seed=seed,
            command=options.command,
            subject=options.subject,
            versions=asdict(stand.cluster.versions),
            not_applicable=end.not_applicable,
            residue=[line for t in end.trials for line in t.residue],
        ),
    )
    end.exit_code = read_run(end.folder)["exit_code"]
    if any(t.residue for t in end.trials) and stand.cluster.owned:
        # What could not be removed would be another trial's baseline.
        await lifecycle.up(stand.cluster.name, stand.cluster.shape, rebuild=True)
    return end


class Quiet:
    """A listener for those who look at the outcome only."""

    def chosen(
        self, variants: Mapping[str, Sequence[str]], left_out: Sequence[NotApplicable]
    ) -> None: ...

    def begin(self, trial: str, title: str, variant: str) -> None: ...

    def phase(self, trial: str, name: str) -> None: ...

    def progress(self, trial: str, done: float, total: float, text: str) -> None: ...

    def status(self, trial: str, text: str) -> None: ...

    def end(self, trial: str, result: Result) -> None: ...


async def run_variant(found: Found, variant: str, options: Options) -> TrialEnd:
    """One variant of one scenario by itself, for a test runner that has its own order.

    `found` is already fitted to the subject that `options` name. Writes the trial's folder, not
    `run.json`. Raises HarnessError for what is wrong before the trial starts.
    """
    if options.subject is None:
        subject = catalog.sample_subject(found.scenario.subject)
    else:
        subject = load_subject(options.subject)
    supply = Supply()
    made = await prepare(found, subject, options, supply)
    if isinstance(made, NotApplicable):
        raise UsageError(f"{made.slug} does not apply: {made.why}", remedy="leave it out with -k")
    async with ground(options, made.scenario.shape) as stand:
        each = await plan(
            made,
            variant,
            supply,
            stand.cluster,
            seed=options.seed if options.seed is not None else secrets.randbelow(2**31),
            folder=options.folder or new_folder(),
        )
        end = await leased(each, stand, Quiet())
    if end.residue and stand.cluster.owned:
        await lifecycle.up(stand.cluster.name, stand.cluster.shape, rebuild=True)
    return end


def select(
    found: Sequence[Found], options: Options
) -> tuple[list[tuple[Found, SubjectFile]], list[NotApplicable]]:
    """Scenarios with their subjects; with a user's subject only those whose roles it binds."""
    if options.subject is None:
        return [(f, catalog.sample_subject(f.scenario.subject)) for f in found], []
    subject = load_subject(options.subject)
    chosen: list[tuple[Found, SubjectFile]] = []
    left_out: list[NotApplicable] = []
    for each in found:
        why = catalog.applicable(each, subject)
        if why is not None:
            left_out.append(why)
        else:
            chosen.append((catalog.fitted(each, subject), subject))
    return chosen, left_out


async def prepare(
    found: Found, subject: SubjectFile, options: Options, supply: Supply
) -> Prepared | NotApplicable:
    """Render and check every variant. Raises ManifestError for what cannot be applied or run."""
    scenario = found.scenario
    names = [v for v in scenario.variants if not options.variants or v in options.variants]
    if not names:
        raise UsageError(
            f"{scenario.slug} has no variant {', '.join(options.variants)}",
            remedy=f"choose among {', '.join(scenario.variants)}",
        )
    rendered: dict[str, list[Object]] = {}
    notes: list[str] = []
    kubectl = await supply.kubectl()
    for name in names:
        component = _component(found, subject, name, own=options.subject is not None)
        made = await render(subject.subject.manifests, variant=component, kubectl=kubectl)
        validate.check(
            made.objects,
            version=supply.kubernetes_version,
            sources=made.sources,
            roles=subject.roles,
        )
        rendered[name] = made.objects
        notes += made.notes
        left_out = catalog.applicable(found, subject, made.objects)
        if left_out is not None:
            return left_out
    wanted = [each for objects in rendered.values() for each in objects]
    await supply.require_images(subject, wanted, more=_images_of_faults(scenario, subject))
    factor = 1 if options.faithful else _factor(scenario.scale, list(rendered.values()))
    if factor > 1:
        for name, objects in rendered.items():
            scaled = manifest_scale.scale(objects, by=factor)
            rendered[name] = scaled.objects
            notes += scaled.notes
    return Prepared(scenario, subject, rendered, factor, tuple(dict.fromkeys(notes)))


def _images_of_faults(scenario: Scenario, subject: SubjectFile) -> list[str]:
    faults = catalog.faults_of(scenario)
    return [name for fault in faults for name in fault.images(subject.role(fault.target))]


def _component(found: Found, subject: SubjectFile, variant: str, *, own: bool) -> Path | None:
    if not own:
        return found.component(variant)
    if variant == AS_GIVEN or subject.subject.variants is None:
        return None
    return subject.subject.variants / variant


def _factor(asked: int, variants: list[list[Object]]) -> int:
    """The largest factor up to the one asked that keeps every ratio in every variant."""
    return max((f for f in manifest_scale.good_factors(*variants) if f <= asked), default=1)


@asynccontextmanager
async def ground(options: Options, shape: str) -> AsyncIterator[Ground]:
    """Heal what the dead left, see to a cluster, and open what trials stand on."""
    await heal_first()
    if options.context is not None:
        cluster = await attach(options.context)
    else:
        wanted = smallest([shape, options.shape] if options.shape else [shape])
        name = options.cluster or default_cluster(wanted)
        cluster = await lifecycle.up(name, wanted, or_larger=True)
    async with stand_on(cluster) as stand:
        yield stand


@asynccontextmanager
async def stand_on(cluster: Cluster) -> AsyncIterator[Ground]:
    """Connections to a cluster and a ledger of this process, for the length of the scope."""
    async with (
        Kube.connect(cluster.kubeconfig, cluster.context) as kube,
        node_commands(cluster) as nodes,
        open_world() as world,
    ):
        world.adopt(cluster, kube=kube, nodes=nodes)
        with Ledger.open() as ledger:
            yield Ground(cluster=cluster, kube=kube, nodes=nodes, ledger=ledger, world=world)


async def heal_first() -> HealReport:
    """What every start does: undo what dead processes left. Raises HarnessError if it cannot."""
    report = await heal_dead(open_world)
    if not report.clean:
        raise HarnessError(
            "what an earlier process left could not be undone:\n    "
            + "\n    ".join(report.lines()),
            remedy="run `harness heal` when the cluster answers again, or rebuild it: "
            "`harness up --rebuild`",
        )
    return report


def default_cluster(shape: str) -> str:
    """The cluster that runs use unless told otherwise."""
    return "harness" if shape == "single" else f"harness-{shape}"


async def _scenario(
    prepared: Prepared,
    stand: Ground,
    supply: Supply,
    seed: int,
    end: RunEnd,
    listener: RunListener,
) -> None:
    """All variants of one scenario: side by side if they may and fit, else one after the other."""
    plans = [
        await plan(prepared, name, supply, stand.cluster, seed=seed, folder=end.folder)
        for name in prepared.variants
    ]
    if any(p.placement.exclusive for p in plans):
        for each in plans:
            end.trials.append(await leased(each, stand, listener))
        return
    needs = {p.variant: capacity.asked(p.placement.isolation.objects) for p in plans}
    for batch in side_by_side(needs, await capacity.left(stand.kube)):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(leased(each, stand, listener))
                for each in plans
                if each.variant in batch
            ]
        end.trials += [task.result() for task in tasks]


def side_by_side(needs: Mapping[str, Room], room: Room) -> list[list[str]]:
    """Which trials run together, in their order: as many as fit into what the cluster has left.

    One that does not fit by itself runs alone, and will say what it waits for.
    """
    batches: list[list[str]] = []
    free = Room()
    for name, need in needs.items():
        if not batches or not free.holds(need):
            batches.append([])
            free = room
        batches[-1].append(name)
        free -= need
    return batches


async def leased(each: Plan, stand: Ground, listener: RunListener) -> TrialEnd:
    """One trial under its lease: shared with others, or alone on the cluster."""
    purpose = f"{each.scenario.slug}[{each.variant}]"
    async with cluster_lease(
        stand.cluster.folder, exclusive=each.placement.exclusive, purpose=purpose
    ):
        await equip(stand, each.placement.faults)
        return await trial(each, stand, listener)


async def plan(
    prepared: Prepared,
    variant: str,
    supply: Supply,
    cluster: Cluster,
    *,
    seed: int,
    folder: Path,
) -> Plan:
    """Everything decided for one trial; its images are in the registry afterwards."""
    scenario, subject = prepared.scenario, prepared.subject
    objects = prepared.variants[variant]
    faults = catalog.faults_of(scenario)
    more = _images_of_faults(scenario, subject)
    images = await supply.subject_images(subject, objects, more=more)
    trial_id = secrets.token_hex(3)
    isolation: Isolation = isolate(
        manifest_images.rewrite(objects, images),
        trial=trial_id,
        default_namespace=subject.subject.namespace,
    )
    expect = scenario.variants[variant]
    placement = Placement(
        trial=trial_id,
        subject=subject,
        isolation=isolation,
        faults=faults,
        load=scenario.load,
        exclusive=scenario.exclusive or isolation.exclusive,
        scale=prepared.scale,
        seed=seed,
        folder=folder / f"{scenario.slug}__{variant}",
        images={**await supply.own_images(), **{name: images[name] for name in more}},
        declared={
            "slug": scenario.slug,
            "title": scenario.title,
            "variant": variant,
            "scenario": scenario.to_json(),
            "expect": {
                "verdict": expect.verdict,
                "shows": [each.to_json() for each in expect.shows],
            },
            "notes": [*prepared.notes, *isolation.why],
        },
    )
    return Plan(placement=placement, scenario=scenario, variant=variant, expect=expect)


async def trial(each: Plan, stand: Ground, listener: RunListener) -> TrialEnd:
    """Run, judge and store one trial."""
    begin, wall = time.monotonic(), time.time()
    listener.begin(each.placement.trial, each.scenario.title, each.variant)
    ended = await run_trial(each, stand, listener)
    faults = catalog.faults_of(each.scenario)
    result = judge(ended.history, each.scenario.objectives, faults, each.expect)
    took = time.monotonic() - begin
    write_json(
        each.placement.folder / TRIAL_FILE,
        {
            **{k: v for k, v in ended.history.trial.items() if k not in ("t", "wall", "type")},
            "started": wall,
            "ended": time.time(),
            "seconds": round(took, 3),
            "residue": list(ended.residue),
        },
    )
    write_json(each.placement.folder / VERDICT_FILE, result.to_json())
    listener.end(each.placement.trial, result)
    return TrialEnd(each, result, ended.residue, took)
