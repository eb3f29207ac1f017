"""Seed 000, section 3: a hang that the application cannot leave by itself."""

from harness import Expect, Load, Scenario, faults, objectives, shows

scenario = Scenario(
    title="Without a liveness probe a deadlocked pod stays until a human acts",
    source="000 section 3",
    subject="checkout",
    scale=5,
    load=Load(rate=20),
    faults=[faults.Hang("workload", pods=1)],
    objectives=[
        objectives.restarts("workload", at_most=1),
        objectives.self_healing("workload", within="300s"),
        objectives.availability(at_least=0.99, during="recovered"),
        objectives.recovery(within="readiness + 5s"),
    ],
    variants={
        "fragile": Expect("failed", shows=[shows.stuck("workload", during="200s")]),
        "hardened": Expect(
            "survived",
            shows=[
                shows.event("Killing", on="workload", message="failed liveness probe"),
                shows.restarts("workload", at_least=1),
            ],
        ),
    },
)
