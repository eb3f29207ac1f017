"""The trials of one process: begun one after another as the machine has CPU for them.

Those that may stand beside others come first, the longest before the shorter; then those that need
the cluster alone. A trial gives its share of the CPU back when it is only removed, so the next one
is deployed meanwhile; what has to hold until its end is its lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from harness.cluster.cpu_shares import cpu_share
from harness.cluster.leases import say_to_stderr
from harness.runs.connections import Find
from harness.runs.options import Job, RunListener, TrialEnd
from harness.runs.schedule import leased
from harness.trial.trial import TrialPlan


class Pool:
    """See the module's text."""

    def __init__(self, find: Find, listener: RunListener) -> None:
        self._find = find
        self._listener = listener
        self._turn = asyncio.Lock()
        self._begun: set[asyncio.Task[TrialEnd] | None] = set()

    async def carry_out(self, jobs: Sequence[Job], ended: list[TrialEnd]) -> None:
        """All of them; their ends go into `ended`, in the order of the jobs.

        After an error no other trial begins; those that have begun come to their end, and it is
        raised when all are over. When this is cancelled, all of them are, and each has undone what
        it did when it returns.
        """
        tasks = {
            job.plan.placement.trial: asyncio.create_task(self.conclude(job))
            for job in in_order(jobs)
        }
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks.values():
                if task not in self._begun:
                    task.cancel()
            await asyncio.wait(tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
            results = await asyncio.gather(
                *(tasks[job.plan.placement.trial] for job in jobs), return_exceptions=True
            )
            ended += [each for each in results if isinstance(each, TrialEnd)]
        errors = [each for each in results if isinstance(each, BaseException)]
        # Those that were not begun for another's error say nothing.
        errors.sort(key=lambda each: isinstance(each, asyncio.CancelledError))
        if errors:
            raise errors[0]

    async def conclude(self, job: Job) -> TrialEnd:
        """One trial; where the host kept it from a verdict, it is tried once more, alone, after all
        others that wait, and that one counts."""
        first = await self._attempt(job.plan)
        if first.result.verdict != "inconclusive" or first.result.blame != "host":
            return first
        self._listener.again(job.plan.scenario.slug, job.plan.variant)
        second = await self._attempt(await job.again(first))
        return replace(second, residue=(*first.residue, *second.residue))

    async def _attempt(self, plan: TrialPlan) -> TrialEnd:
        async with AsyncExitStack() as stack:
            # Locks of asyncio are given in the order in which they were asked for.
            async with self._turn:
                share = cpu_share(
                    whole=plan.placement.exclusive,
                    # That siblings have it is the ordinary course.
                    tell=_silent if self._begun else say_to_stderr,
                )
                removing = await stack.enter_async_context(share)
            self._begun.add(asyncio.current_task())
            return await leased(plan, self._find, self._listener, removing)


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Which begin first."""
    return sorted(jobs, key=lambda job: (job.plan.placement.exclusive, -job.seconds))


def _silent(_: str) -> None: ...
