"""A run: the trials of one command, in one folder.

Chooses what applies, has every manifest prepared before anything starts, carries the trials out and
writes what reports and `harness judge` read. The phases of one trial are in `harness.trial.trial`.
"""

from __future__ import annotations

import secrets
import time
from functools import partial

from harness.addons import addons
from harness.cluster.shapes import smallest
from harness.errors import UsageError
from harness.host.files import private_folder
from harness.images.supply import Supply
from harness.runs import catalog
from harness.runs.catalog import Found
from harness.runs.connections import find_cluster
from harness.runs.fitting import NotApplicable
from harness.runs.folder import (
    Summary,
    finish,
    new_folder,
    read_run,
)
from harness.runs.options import Options, Quiet, RunEnd, RunListener, TrialEnd
from harness.runs.plans import Prepared, job, prepare, select, subject_of
from harness.runs.pool import Pool
from harness.trial.equipment import needed_addons


async def carry_out(options: Options, listener: RunListener) -> RunEnd:
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
    private_folder(end.folder)
    # Minutes of compiling do not belong between two trials.
    for name in needed_addons(f for p in prepared for f in catalog.faults_of(p.scenario)):
        await addons.build(name)
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    jobs = [
        await job(each, name, supply, seed=seed, folder=end.folder)
        for each in prepared
        for name in each.variants
    ]
    listener.planned(jobs, end.not_applicable, by_outcome=options.subject is None)
    find = partial(find_cluster, options, smallest(p.scenario.shape for p in prepared))
    started, complete = time.time(), False
    try:
        await Pool(find, listener).carry_out(jobs, end.trials)
        complete = True
    finally:
        # Whatever ends a run, what was found out by then can be read.
        if end.trials:
            finish(
                end.folder,
                [t.plan.placement.folder.name for t in end.trials],
                [t.result for t in end.trials],
                Summary(
                    started=started,
                    seed=seed,
                    command=options.command,
                    subject=options.subject,
                    versions=end.trials[0].versions,
                    not_applicable=end.not_applicable,
                    residue=[line for t in end.trials for line in t.residue],
                    complete=complete,
                    tried_again={
                        t.plan.placement.folder.name: instead_of["folder"]
                        for t in end.trials
                        if (instead_of := t.plan.placement.declared["instead_of"])
                    },
                ),
            )
    end.exit_code = read_run(end.folder)["exit_code"]
    return end


async def run_variant(found: Found, variant: str, options: Options) -> TrialEnd:
    """One variant of one scenario by itself, for a test runner that has its own order.

    `found` is already fitted to the subject that `options` name. Writes the trial's folder, not
    `run.json`. Raises HarnessError for what is wrong before the trial starts.
    """
    supply = Supply()
    made = await prepare(found, subject_of(found, options), options, supply)
    if isinstance(made, NotApplicable):
        raise UsageError(f"{made.slug} does not apply: {made.why}", remedy="leave it out with -k")
    each = await job(
        made,
        variant,
        supply,
        seed=options.seed if options.seed is not None else secrets.randbelow(2**31),
        folder=options.folder or new_folder(),
    )
    find = partial(find_cluster, options, made.scenario.shape)
    return await Pool(find, Quiet()).conclude(each)
