"""Seed 000, section 3: a liveness probe that asks the database."""

from harness import Expect, Load, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A liveness probe that queries the database turns a slow database into an outage",
    source="000 section 3",
    subject="checkout",
    scale=5,
    load=Load(rate=40),
    faults=[faults.SlowDependency("database", latency="3s")],
    objectives=[
        objectives.restarts("workload", at_most=0),
        objectives.availability(at_least=0.99, during="recovered"),
        objectives.recovery(within="readiness + 5s"),
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.probe_failed("workload", "liveness"),
                shows.event("Killing", on="workload", message="failed liveness probe"),
                shows.restarts("workload", every_replica=True),
                shows.ready("workload", equals=0, within="90s"),
            ],
        ),
        "hardened": Expect("survived"),
    },
)
