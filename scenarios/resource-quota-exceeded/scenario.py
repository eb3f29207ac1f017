"""Seed 000, section 1: one push takes more than the cluster has."""

from harness import Expect, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A release that asks for more than the cluster has starves its neighbour's rollout",
    source="000 section 1",
    subject="web",
    roles={"greedy": "batch/Deployment/greedy"},
    scale=5,
    alone=True,
    faults=[
        faults.Release("greedy"),
        # By then the scheduler has placed what fits.
        faults.RollingRestart("workload", after="10s"),
    ],
    objectives=[
        objectives.rollout("workload", within="2 x startup + 60s"),
        *objectives.SERVES,
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.event("FailedScheduling", on="greedy", message="Insufficient memory"),
                shows.event("FailedScheduling", on="workload", message="Insufficient memory"),
            ],
        ),
        "hardened": Expect(
            "survived",
            shows=[
                shows.event("FailedCreate", on="greedy", message="exceeded quota"),
                shows.condition("greedy", type="ReplicaFailure", reason="FailedCreate"),
            ],
        ),
    },
)
