"""Seed 000, checklist: the application drains for 45 s, and its grace ends after 30."""

from harness import Expect, Load, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A grace shorter than the work in flight kills it at every release",
    source="000 checklist 8",
    subject="web",
    scale=5,
    # Each phase ends with its last request, 9 s after it was sent.
    control="4s",
    # The seed's ratio: work of 45 s against a grace of 30 s.
    load=Load(rate=10, endpoints={"GET /work?seconds={45s}": 1}, timeout="60s"),
    faults=[faults.RollingRestart("workload")],
    objectives=[
        objectives.rollout("workload", within="startup + 120s"),
        objectives.availability(at_least=0.99, during="fault"),
        objectives.recovery(within="readiness + 5s"),
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.terminated("workload", reason="Error", exit_code=137),
                shows.failed_requests(at_least=5),
            ],
        ),
        "hardened": Expect("survived", shows=[shows.terminated("workload", exit_code=0)]),
    },
)
