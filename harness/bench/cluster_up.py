"""`harness up` against a bare `kind create cluster` with the same config, in one run.

Both are timed until every node is Ready and DNS answers, by the same check; they take turns, so
that a busy machine hits both. Everything that is made once (engine, images, registry) is there
before the clock starts. Run it with `python -m harness.bench.cluster_up`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence

from harness.cluster import blueprint, clusters, kind, shapes
from harness.cluster.apiserver import ApiServer
from harness.cluster.clusters import NodeRecord
from harness.cluster.lifecycle import take_down
from harness.cluster.readiness import until_ready
from harness.cluster.shapes import Shape
from harness.host import go_programs, processes
from harness.host.engine import Engine, ensure_engine
from harness.images.node_image import node_image
from harness.images.registry import ensure_registry

GOAL = 1.1
_BARE = "bench-bare"
_OURS = "bench-ours"


async def bare_seconds(shape: Shape, engine: Engine, image: str) -> float:
    """Seconds of `kind create cluster` with the config that `harness up` would write."""
    plan = blueprint.draw(_BARE, shape)
    kubeconfig = clusters.folder(_BARE) / "kubeconfig"
    nodes = [NodeRecord(name=name, role=role) for name, role in shape.nodes(_BARE)]
    program = go_programs.kind()
    words = ["create", "cluster", "--name", _BARE, "--image", image]
    try:
        began = time.monotonic()
        made = await processes.run(
            [program, *words, "--config", plan.config, "--kubeconfig", kubeconfig],
            env=engine.env,
            timeout=600,
        )
        made.require()
        await until_ready(ApiServer(kubeconfig), nodes, engine)
        return time.monotonic() - began
    finally:
        await kind.delete(program, engine, name=_BARE, kubeconfig=kubeconfig)


async def our_seconds(shape: Shape) -> tuple[float, float]:
    """Seconds of `harness up` as a user runs it, new and when there is nothing to do."""
    words = [sys.executable, "-m", "harness.cli", "up", "--cluster", _OURS, "--shape", shape.name]
    try:
        timings = []
        for _ in range(2):
            began = time.monotonic()
            (await processes.run(words, timeout=600)).require()
            timings.append(time.monotonic() - began)
        return timings[0], timings[1]
    finally:
        await take_down(_OURS)


async def measure(shape: Shape, rounds: int) -> dict[str, object]:
    """All timings in seconds, their medians and the ratio."""
    engine = await asyncio.to_thread(ensure_engine)
    image = await asyncio.to_thread(node_image, engine)
    await asyncio.to_thread(ensure_registry, engine)
    bare, ours, again = [], [], []
    for turn in range(rounds):
        bare.append(await bare_seconds(shape, engine, image))
        new, warm = await our_seconds(shape)
        ours.append(new)
        again.append(warm)
        sys.stderr.write(
            f"round {turn + 1}: bare {bare[-1]:.1f} s, harness up {new:.1f} s, again {warm:.1f} s\n"
        )
    ratio = statistics.median(ours) / statistics.median(bare)
    return {
        "shape": shape.name,
        "bare_seconds": bare,
        "up_seconds": ours,
        "up_again_seconds": again,
        "ratio": ratio,
        "goal": GOAL,
        "met": ratio <= GOAL,
    }


def main(words: Sequence[str] | None = None) -> int:
    """Print the figures as JSON; 1 if the goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=shapes.SHAPES, default="single")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(words)
    figures = asyncio.run(measure(shapes.shape(given.shape), given.rounds))
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
