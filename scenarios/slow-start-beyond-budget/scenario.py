"""Seed 000, section 3: the boundary of the cure, a start that takes longer than its budget."""

from harness import Expect, Load, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A start that takes longer than the startup probe's budget is killed, budget or not",
    source="000 section 3",
    subject="checkout",
    scale=5,
    load=Load(rate=20),
    faults=[faults.SlowStart("workload", delay="400s")],
    objectives=[
        objectives.restarts("workload", at_most=0),
        objectives.rollout("workload", within="3 x startup"),
        objectives.availability(at_least=0.99, during="recovered"),
        objectives.recovery(within="readiness + 5s"),
    ],
    variants={
        "hardened": Expect(
            "failed",
            shows=[
                shows.probe_failed("workload", "startup"),
                shows.event("Killing", on="workload", message="failed startup probe"),
                shows.restarts("workload", at_least=1),
            ],
        ),
    },
)
