"""Seed 004, troubleshooting tree: a release whose command returns at once, with exit code 0."""

from harness import Expect, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A server that is started in the background ends its container with success",
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
                shows.terminated("workload", reason="Completed", exit_code=0),
                shows.waiting("workload", reason="CrashLoopBackOff"),
            ],
        ),
        "hardened": Expect("survived"),
    },
)
