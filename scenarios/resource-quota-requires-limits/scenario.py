"""Seed 000, section 1 and seed 004: what declares no resources is not to come in."""

from harness import Expect, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A namespace without a quota takes in pods that declare no resources",
    source="000 section 1, 004 takeaway 1",
    subject="web",
    roles={"newcomer": "Deployment/newcomer"},
    scale=5,
    faults=[faults.Release("newcomer")],
    objectives=[objectives.denied("newcomer"), *objectives.SERVES],
    variants={
        "fragile": Expect("failed", shows=[shows.qos("newcomer", equals="BestEffort")]),
        "hardened": Expect(
            "survived",
            shows=[
                shows.event("FailedCreate", on="newcomer", message="must specify limits.cpu"),
                shows.condition("newcomer", type="ReplicaFailure", reason="FailedCreate"),
            ],
        ),
    },
)
