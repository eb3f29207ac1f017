"""Seed 000, checklist: one replica is no redundancy."""

from harness import Expect, Scenario, faults, objectives, shows

scenario = Scenario(
    title="One replica means an outage for the length of a start",
    source="000 checklist 7",
    subject="web",
    scale=5,
    faults=[faults.DeletePods("workload")],
    objectives=[
        objectives.ready("workload", at_least=1),
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
        "hardened": Expect("survived"),
    },
)
