"""Seed 004, disaster 3: a liveness probe on the API's own path."""

from harness import Expect, Load, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A liveness probe on the API's own path turns an occupied pool into an outage",
    source="004 disaster 3",
    subject="payment",
    scale=5,
    load=Load(rate=40),
    faults=[faults.OccupiedPool("database", slower_than="5s")],
    objectives=[
        objectives.restarts("workload", at_most=0),
        objectives.availability(at_least=0.99, during="recovered"),
        objectives.recovery(within="readiness + 15s"),
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.probe_failed("workload", "liveness"),
                shows.event("Unhealthy", on="workload", message="context deadline exceeded"),
                shows.event("Killing", on="workload", message="failed liveness probe"),
                shows.restarts("workload", every_replica=True),
            ],
        ),
        "hardened": Expect("survived"),
    },
)
