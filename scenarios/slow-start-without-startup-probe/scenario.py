"""Seed 000, section 3, and 004, spec: a start that liveness cuts short."""

from harness import Expect, Load, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A liveness probe without a startup probe kills a slow start, again and again",
    source="000 section 3",
    subject="checkout",
    scale=5,
    load=Load(rate=20),
    faults=[faults.SlowStart("workload", delay="160s")],
    objectives=[
        objectives.restarts("workload", at_most=0),
        objectives.rollout("workload", within="3 x startup"),
        objectives.availability(at_least=0.99, during="recovered"),
        objectives.recovery(within="readiness + 5s"),
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.probe_failed("workload", "liveness"),
                shows.event("Killing", on="workload", message="failed liveness probe"),
                shows.restarts("workload", at_least=2),
                shows.waiting("workload", reason="CrashLoopBackOff"),
            ],
        ),
        "hardened": Expect("survived"),
    },
)
