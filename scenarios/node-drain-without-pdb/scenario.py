"""Seed 000, checklist: an upgrade may take all replicas at once."""

from harness import Expect, Scenario, faults, objectives, shows

scenario = Scenario(
    title="Without a disruption budget a drain takes every replica at once",
    source="000 checklist 7",
    subject="web",
    shape="workers",
    scale=5,
    faults=[faults.Drain("workload")],
    objectives=[
        objectives.ready("workload", at_least=1),
        objectives.drained("workload", within="grace + 60s"),
        *objectives.SERVES,
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.ready("workload", equals=0, within="30s"),
                shows.failed_requests(at_least=5),
            ],
        ),
        "hardened": Expect("survived", shows=[shows.eviction_refused("workload")]),
    },
)
