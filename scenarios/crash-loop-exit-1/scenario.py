"""Seed 004, troubleshooting tree: a release that ends with exit code 1 at every start."""

from harness import Expect, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A release without a variable that the application needs ends at every start",
    source="004 troubleshooting",
    subject="web",
    scale=5,
    faults=[faults.Release("workload")],
    objectives=[
        objectives.rollout("workload", within="2 x startup + 60s"),
        *objectives.SERVES,
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.terminated("workload", exit_code=1),
                shows.waiting("workload", reason="CrashLoopBackOff"),
                shows.logged("GREETING is not set"),
            ],
        ),
        "hardened": Expect("survived"),
    },
)
