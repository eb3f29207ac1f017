"""Mutants of what is undone: something would be left behind, or be somebody's baseline."""

from __future__ import annotations

from mutants import Mutant

LEDGER = ("tests/unit/test_ledger.py",)
STAGE = ("tests/unit/test_stage.py",)
CRASH = ("tests/unit/test_crash_points.py",)
NAMESPACES = ("tests/unit/test_namespaces.py",)
BASELINE = ("tests/unit/test_baseline.py",)
MEASURED = ("tests/unit/test_faults_measured.py",)
WAITING = ("tests/unit/test_schedule.py",)
POOL = ("tests/unit/test_pool.py",)

UNDOING = (
    Mutant(
        "the stage says undone and does nothing",
        "harness/trial/stage.py",
        "await Entry(self.connections.ledger, record).undo(self.connections.world)",
        "Entry(self.connections.ledger, record).done()",
        STAGE,
    ),
    Mutant(
        "the stage undoes the oldest first",
        "harness/trial/stage.py",
        "[r for r in self.connections.ledger.open_records if r.trial",
        "[r for r in reversed(self.connections.ledger.open_records) if r.trial",
        STAGE,
    ),
    Mutant(
        "a heal is not measured",
        "harness/trial/stage.py",
        "if faults is not None or felt(self.history, index).ever:",
        "if False:",
        STAGE,
    ),
    Mutant(
        "every measurement says felt",
        "harness/trial/stage.py",
        "felt=got.felt,",
        "felt=True,",
        STAGE,
    ),
    Mutant(
        "nothing is ever residue",
        "harness/trial/stage.py",
        "        if self._before is None:\n            return ()",
        "        return ()",
        STAGE,
    ),
    Mutant(
        "one undo that fails stops the others",
        "harness/trial/stage.py",
        "            except Exception as error:  # noqa: BLE001  an undo is anybody's code",
        "            except ResidueError as error:",
        STAGE,
    ),
    Mutant(
        "a rollout is written down after it",
        "harness/faults/rollouts.py",
        "    ctx.record(\n        UNDO,",
        "    await ctx.kube.patch(workloads.API, role.ref.kind, name, namespace, {})\n"
        "    ctx.record(\n        UNDO,",
        CRASH,
    ),
    Mutant(
        "toxics are written down after them",
        "harness/faults/proxied.py",
        '    ctx.record(UNDO, {"namespace": ctx.own_namespace, "service": role.ref.name})\n',
        '    await _ask(ctx, role, "PUT", "/toxics", {})\n'
        '    ctx.record(UNDO, {"namespace": ctx.own_namespace, "service": role.ref.name})\n',
        CRASH,
    ),
    Mutant(
        "a pause is written down after it",
        "harness/faults/node_loss.py",
        '        ctx.record(UNDO, {"node": node, "mode": self.mode, "guard": guard})\n',
        '        await engine.adocker("pause", node)\n'
        '        ctx.record(UNDO, {"node": node, "mode": self.mode, "guard": guard})\n',
        CRASH,
    ),
    Mutant(
        "a namespace is written down after it",
        "harness/undo/namespaces.py",
        '    entry = ledger.record("namespace", {"name": name}, cluster=cluster, trial=trial)\n',
        "    await kube.create({})\n"
        '    entry = ledger.record("namespace", {"name": name}, cluster=cluster, trial=trial)\n',
        CRASH,
    ),
    Mutant(
        "a record is not forced to the disk",
        "harness/undo/ledger.py",
        "            os.fsync(self._lock.descriptor)\n",
        "",
        LEDGER,
    ),
    Mutant(
        "only namespaces are healed",
        "harness/undo/healing.py",
        "            await undo_of(record)(record, world)",
        '            if record.kind == "namespace":\n'
        "                await undo_of(record)(record, world)",
        LEDGER,
    ),
    Mutant(
        "a cluster of another identity is healed",
        "harness/undo/reach.py",
        "        if record.uid != ref.uid:",
        "        if False:",
        LEDGER,
    ),
    Mutant(
        "nodes that are gone keep their records",
        "harness/undo/reach.py",
        'seen.state == "stopped"',
        'seen.state == "never"',
        LEDGER,
    ),
    Mutant(
        "without an engine everything is closed",
        "harness/undo/reach.py",
        "if engine is not None else None",
        "",
        LEDGER,
    ),
    Mutant(
        "a line that nobody understands is passed over",
        "harness/undo/record.py",
        "            unreadable.append(",
        "            str(",
        LEDGER,
    ),
    Mutant(
        "a healer takes no lease",
        "harness/undo/healing.py",
        "                await stack.enter_async_context(lease)",
        "                lease.__class__",
        LEDGER,
    ),
    Mutant(
        "a healer under a lease heals other clusters",
        "harness/undo/healing.py",
        "if not r.cluster or r.cluster.name in reached]",
        "]",
        LEDGER,
    ),
    Mutant(
        "what nobody could undo is recorded",
        "harness/undo/registry.py",
        'if not found or "<" in function.__qualname__:',
        "if False:",
        LEDGER,
    ),
    Mutant(
        "an undo that moved is not looked for",
        "harness/undo/registry.py",
        "for module in (record.module, *SHIPPED):",
        "for module in (record.module,):",
        LEDGER,
    ),
    Mutant(
        "the dead are not healed under the lease",
        "harness/runs/connections.py",
        "report = await heal_dead(open_world, under=lease)",
        "report = await heal_dead(open_world, cluster.folder, under=lease)",
        WAITING,
    ),
    Mutant(
        "a cluster made anew is taken for the old one",
        "harness/runs/connections.py",
        " or not clusters.is_current(cluster)",
        "",
        WAITING,
    ),
    Mutant(
        "residue is built upon",
        "harness/runs/connections.py",
        "residue.left_on(cluster.folder) or",
        "False or",
        WAITING,
    ),
    Mutant(
        "no lease around a trial",
        "harness/runs/connections.py",
        "exclusive=exclusive, purpose=purpose) as lease:",
        "exclusive=False, purpose=purpose) as lease:",
        WAITING,
    ),
    Mutant(
        "a cancelled change goes on alone",
        "harness/host/joined.py",
        "        while not task.done():",
        "        while False:",
        ("tests/unit/test_joined.py",),
    ),
    Mutant(
        "a request that changes something is not joined",
        "harness/kube/transport.py",
        'if method in ("GET", "HEAD") else joined(asked)',
        "if True else joined(asked)",
        ("tests/unit/test_joined.py",),
    ),
    Mutant(
        "a generator that died is not noticed",
        "harness/load/generator.py",
        "        if self._process.returncode not in (None, 0):",
        "        if False:",
        ("tests/unit/test_load_generator.py",),
    ),
    Mutant(
        "healing marks before it undoes",
        "harness/undo/healing.py",
        "                outcomes = await _undone(",
        "                for record, lock in work:\n"
        '                    append(lock.descriptor, {"done": record.id})\n'
        "                outcomes = await _undone(",
        CRASH,
    ),
    Mutant(
        "what arrives after its undoing stays",
        "harness/undo/healing.py",
        'if outcome[0] == "healed" else outcome',
        "if False else outcome",
        CRASH,
    ),
    Mutant(
        "nobody waits for what arrives late",
        "harness/undo/healing.py",
        "await asyncio.sleep(late - loop.time())",
        "await asyncio.sleep(0)",
        CRASH,
    ),
    Mutant(
        "a ledger goes although something is left",
        "harness/undo/healing.py",
        "            if not left[lock.path]:",
        "            if left[lock.path] < 2:",
        LEDGER,
    ),
    Mutant(
        "a paused node stays paused",
        "harness/faults/node_loss.py",
        '        await engine.adocker("unpause", node)',
        '        await engine.adocker("inspect", node)',
        CRASH,
    ),
    Mutant(
        "only the first cordon is taken away",
        "harness/faults/cordons.py",
        '    for name in record.data["nodes"]:',
        '    for name in record.data["nodes"][1:]:',
        CRASH,
    ),
    Mutant(
        "a fault of the storage driver stays",
        "harness/faults/stuck_volume.py",
        '    for name in record.data["names"]:',
        '    for name in record.data["names"][:1]:',
        CRASH,
    ),
    Mutant(
        "a namespace is gone before its volumes are",
        "harness/undo/namespaces.py",
        " or await _volumes(kube, name))",
        ")",
        NAMESPACES,
    ),
    Mutant(
        "a node that gives no answer is as it was",
        "harness/undo/baseline.py",
        "        if after[name].silent:",
        "        if False:",
        BASELINE,
    ),
    Mutant(
        "a pool that is slow by itself is occupied",
        "harness/faults/occupied_pool.py",
        "felt = held and took",
        "felt = took",
        MEASURED,
    ),
    Mutant(
        "who needs the cluster alone begins beside another",
        "harness/runs/pool.py",
        "whole=plan.placement.exclusive,",
        "whole=False,",
        POOL,
    ),
    Mutant(
        "what the first attempt left is forgotten",
        "harness/runs/pool.py",
        "residue=(*first.residue, *second.residue)",
        "residue=second.residue",
        POOL,
    ),
)
