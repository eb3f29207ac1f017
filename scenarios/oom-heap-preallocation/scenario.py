"""Seed 000, introduction and section 1: a release that takes more memory than it is allowed."""

from harness import Expect, Load, Scenario, faults, objectives, shows

KILLED = (
    shows.terminated("workload", reason="OOMKilled", exit_code=137),
    shows.event("BackOff", on="workload"),
    shows.waiting("workload", reason="CrashLoopBackOff"),
    shows.condition("workload", type="Progressing", reason="ProgressDeadlineExceeded"),
)

scenario = Scenario(
    title="A release that takes its heap at start is OOMKilled under the old memory limit",
    source="000 introduction and section 1",
    subject="checkout",
    scale=5,
    load=Load(rate=20),
    faults=[faults.HeapAtStart("workload")],
    objectives=[
        objectives.restarts("workload", at_most=0),
        objectives.rollout("workload", within="600s"),
        objectives.availability(at_least=0.99, during="recovered"),
        objectives.recovery(within="readiness + 5s"),
    ],
    variants={
        "fragile": Expect("failed", shows=KILLED),
        "seed-literal": Expect("failed", shows=KILLED),
        "hardened": Expect("survived", shows=[shows.qos("workload", equals="Guaranteed")]),
    },
)
