"""A test suite for the tester: each trial carries a planted defect, which the verdict must find.

The trials run side by side on one cluster, in namespaces of their own; each test then looks at one
verdict, its reason, whom it blames, and at the history that it rests on.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from trials import JUDGED_BY, carry_out, connected_cluster, history_of, phases

from harness import objectives
from harness.declare import Expect, register
from harness.faults import Hang, SlowDependency, proxied
from harness.faults.base import Fault, FaultContext
from harness.judgement import verdict
from harness.kube.eventually import eventually
from harness.objectives import shows
from harness.runs.options import Options, Quiet, TrialEnd
from harness.trial.placement import Connections

AT_ONCE = 3
"""Trials side by side: two cores, and a generator that must not fall behind by itself."""
STOPPED_S = 3.0


@register("fault", "planted-does-nothing")
@dataclass(frozen=True)
class DoesNothing(SlowDependency):
    """Writes its record and changes nothing; measured like the real one."""

    async def inject(self, ctx: FaultContext) -> None:
        """As the real one, without the toxic."""
        role = ctx.role(self.target)
        ctx.record(proxied.UNDO, {"namespace": ctx.own_namespace, "service": role.ref.name})


class At(Quiet):
    """Does something when a trial enters a phase; `done` is awaited after the trial."""

    def __init__(self, phase: str, act: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self._phase = phase
        self._act = act
        self.done: asyncio.Task[None] | None = None

    def phase(self, trial: str, name: str) -> None:
        """Start what is to be done."""
        if name == self._phase:
            self.done = asyncio.get_running_loop().create_task(self._act(trial))


def generator_of(folder: Path) -> psutil.Process:
    """The process that writes the recording in a folder."""
    for child in psutil.Process().children(recursive=True):
        if any(Path(file.path).is_relative_to(folder) for file in child.open_files()):
            return child
    raise AssertionError(f"nobody writes below {folder}")


def starved(folder: Path) -> At:
    """The generator is stopped for a while during the fault."""

    async def act(_: str) -> None:
        generator = generator_of(folder)
        os.kill(generator.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(STOPPED_S)
        finally:
            os.kill(generator.pid, signal.SIGCONT)

    return At("sustain", act)


def killed_by_something_else(connections: Connections) -> At:
    """The workload's process ends with exit code 1 during the fault; no probe has a part in it."""

    async def act(trial: str) -> None:
        namespace = f"planted-{trial}"

        async def ended() -> bool:
            pods = await connections.kube.list("v1", "Pod", namespace, labels="app=checkout-api")
            name = pods[0]["metadata"]["name"]
            # The answer may be lost with the process, so the restart is what counts.
            await connections.kube.pod_proxy(namespace, name, 8081, "POST", "/exit?code=1")
            pods = await connections.kube.list("v1", "Pod", namespace, labels="app=checkout-api")
            return bool(pods[0]["status"]["containerStatuses"][0]["restartCount"])

        await eventually(ended, within=20, every=1.0, what="checkout-api ended by itself")

    return At("sustain", act)


CURED = [objectives.restarts("workload", at_most=0, cures=1), *JUDGED_BY[1:]]
"""As what an application of somebody's own declares is judged: `restarts = 0` in `[objectives]`."""

LIVENESS = Expect(
    "failed",
    shows=[
        shows.restarts("workload", every_replica=True),
        shows.event("Killing", on="workload", message="failed liveness probe"),
    ],
)


async def everything(folder: Path) -> dict[str, TrialEnd]:
    """All planted trials, `AT_ONCE` side by side."""
    turn = asyncio.Semaphore(AT_ONCE)
    ends: dict[str, TrialEnd] = {}
    async with connected_cluster(Options(), "single") as connections:

        async def run(
            name: str, listener: At | None = None, *, waits: bool = False, **how: Any
        ) -> None:
            # One that waits for pods which never come costs nothing but time.
            async with nullcontext() if waits else turn:
                ends[name] = await carry_out(
                    connections, folder, name=name, listener=listener or Quiet(), **how
                )
                if listener is not None and listener.done is not None:
                    await listener.done

        async with asyncio.TaskGroup() as group:
            for each in (
                run("calm"),
                run("does-nothing", faults=[DoesNothing("database", latency="2s")]),
                run("cut-short"),
                run("starved", starved(folder / "planted__starved")),
                run("liveness", component="liveness-asks-database"),
                run("otherwise", killed_by_something_else(connections), expect=LIVENESS),
                run("nobody", entry="nobody"),
                run("unused", faults=[SlowDependency("unused", latency="2s")]),
                run("tight-quota", component="tight-quota"),
                run("cured", faults=[Hang("workload")], judged_by=CURED),
                run("readiness-wrong", component="readiness-wrong", waits=True),
                run("crash-loop", component="crash-loop", waits=True),
            ):
                group.create_task(each)
    return ends


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TrialEnd]]:
    """Every planted trial by name."""
    really_settled = verdict.settled

    def settled(history: Any, *rest: Any) -> bool:
        # The defect of `cut-short`: a harness that ends its sustain phase at once.
        return history.trial["variant"] == "cut-short" or really_settled(history, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fault, "felt_within", "6s")
        patch.setattr("harness.trial.startup.SETTING_UP_S", 60.0)
        patch.setattr(verdict, "settled", settled)
        yield asyncio.run(everything(tmp_path_factory.mktemp("planted")))


def blamed(end: TrialEnd) -> tuple[str, str | None]:
    return end.result.verdict, end.result.blame


def test_without_a_defect_it_survives(ends: dict[str, TrialEnd]) -> None:
    end = ends["calm"]
    assert blamed(end) == ("survived", None), end.result.deciding
    assert end.result.outcome == "as expected"
    assert end.result.felt[0].seconds >= end.result.exposure[0].seconds
    assert phases(history_of(end).records) == [
        "preflight",
        "prepare",
        "deploy",
        "control",
        "inject",
        "felt",
        "sustain",
        "heal",
        "recover",
        "remove",
        "prove clean",
    ]


def test_fault_that_does_nothing(ends: dict[str, TrialEnd]) -> None:
    end = ends["does-nothing"]
    assert blamed(end) == ("inconclusive", "harness")
    assert "database 2s slower was not felt: an exchange took 0." in end.result.deciding
    history = history_of(end)
    assert history.injected_at is not None
    assert [m.felt for m in history.measurements if m.t > history.injected_at]
    assert not any(m.felt for m in history.measurements)


def test_sustain_cut_short_of_exposure(ends: dict[str, TrialEnd]) -> None:
    end = ends["cut-short"]
    assert blamed(end) == ("inconclusive", "harness")
    assert "of exposure that survival needs" in end.result.deciding
    # Everything else would have let it survive.
    assert {finding.state for _, finding in end.result.objectives} == {"met"}
    assert end.result.felt[0].ever


def test_starved_generator(ends: dict[str, TrialEnd]) -> None:
    end = ends["starved"]
    assert blamed(end) == ("inconclusive", "host"), end.result.deciding
    assert "the load generator fell behind" in end.result.deciding
    sustain = history_of(end).phase("sustain")
    assert sustain is not None
    health = history_of(end).requests.generator_health(sustain.begin, sustain.end)
    # What stood still for so long is late by so long.
    assert health.lag_p99_s > STOPPED_S / 2
    control = history_of(end).phase("control")
    assert control is not None
    assert not history_of(end).requests.generator_health(control.begin, control.end).fell_behind


def test_a_dependency_that_the_workload_does_not_use(ends: dict[str, TrialEnd]) -> None:
    end = ends["unused"]
    assert blamed(end) == ("inconclusive", "subject"), end.result.deciding
    assert "the workload never used this dependency" in end.result.deciding
    # Everything else would have let it survive.
    assert {finding.state for _, finding in end.result.objectives} == {"met"}
    assert end.result.felt[0].ever


def test_a_quota_of_the_subject_does_not_meet_our_pods(ends: dict[str, TrialEnd]) -> None:
    end = ends["tight-quota"]
    assert blamed(end) == ("survived", None), end.result.deciding


def test_the_restart_that_cures_is_no_failure(ends: dict[str, TrialEnd]) -> None:
    end = ends["cured"]
    assert blamed(end) == ("survived", None), end.result.deciding
    history = history_of(end)
    assert len(history.restarts("workload", history.watched)) == 1


def test_load_that_never_arrives(ends: dict[str, TrialEnd]) -> None:
    end = ends["nobody"]
    assert blamed(end) == ("inconclusive", "harness")
    assert "the load never arrived" in end.result.deciding
    history = history_of(end)
    assert len(history.requests) >= 30
    assert not history.requests.reached()
    assert "inject" not in phases(history.records)


@pytest.mark.parametrize("name", ["readiness-wrong", "crash-loop"])
def test_subject_that_is_broken_before_the_fault(ends: dict[str, TrialEnd], name: str) -> None:
    end = ends[name]
    assert blamed(end) == ("inconclusive", "subject")
    assert end.result.deciding.startswith("before any fault: not ready")
    assert "checkout-api" in end.result.deciding
    assert phases(history_of(end).records) == [
        "preflight",
        "prepare",
        "deploy",
        "remove",
        "prove clean",
    ]


def test_crash_loop_was_one(ends: dict[str, TrialEnd]) -> None:
    history = history_of(ends["crash-loop"])
    assert {r.exit_code for r in history.restarts("workload")} == {3}
    assert any(r["type"] == "log" for r in history.records), "last words of the container"


def test_one_wrong_probe_field_fails_for_that_reason(ends: dict[str, TrialEnd]) -> None:
    end = ends["liveness"]
    assert blamed(end) == ("failed", None), end.result.deciding
    assert end.result.outcome == "wrong verdict"
    assert end.result.deciding.startswith("1 of 1 replicas restarted by liveness, first ")
    assert "after the database slowed" in end.result.deciding
    history = history_of(end)
    assert history.restarts("workload", history.phase("control")) == []
    assert LIVENESS.shows[1].seen(history)
    # By the kubelet's own count, too, which does not run out as its events do.
    assert history.injected_at is not None
    assert any(r["t"] > history.injected_at for r in history.samples("failed_liveness_probes"))


def test_fragile_variant_that_fails_otherwise(ends: dict[str, TrialEnd]) -> None:
    end = ends["otherwise"]
    assert blamed(end) == ("failed", None), end.result.deciding
    assert end.result.outcome == "wrong reason"
    assert end.result.deciding.startswith("did not show event Killing on workload (failed liv")
    assert "by liveness" not in end.result.deciding
    seen = {name: sighting is not None for name, sighting in end.result.shows}
    assert list(seen.values()) == [True, False]
    history = history_of(end)
    assert {r.exit_code for r in history.restarts("workload", history.watched)} == {1}


def test_all_left_the_cluster_as_it_was(ends: dict[str, TrialEnd]) -> None:
    assert {name: end.residue for name, end in ends.items() if end.residue} == {}
