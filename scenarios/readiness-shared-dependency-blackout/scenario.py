"""Between seed 000, section 3 and seed 004, D3: readiness of all replicas rests on one database."""

from harness import Expect, Load, Scenario, faults, objectives, shows

scenario = Scenario(
    title="Readiness that gives up on the first slow answer takes every replica away at once",
    source="000 section 3, 004 disaster 3",
    subject="checkout",
    scale=5,
    # Half of what the connection pools carry while every statement takes so long.
    load=Load(rate=10),
    faults=[faults.SlowDependency("database", latency="1500ms")],
    objectives=[
        objectives.ready("workload", at_least=1),
        objectives.availability(at_least=0.99, during="fault"),
        objectives.recovery(within="readiness + 5s"),
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.probe_failed("workload", "readiness"),
                shows.ready("workload", equals=0, within="60s"),
            ],
        ),
        "hardened": Expect("survived"),
    },
)
