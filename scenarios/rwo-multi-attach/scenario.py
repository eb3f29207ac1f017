"""Seed 000, section 5: a rolling update of a pod whose volume attaches to one node at a time."""

from harness import Expect, Load, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A rolling update of a pod with a ReadWriteOnce volume never ends",
    source="000 section 5",
    subject="checkout",
    shape="workers",
    # A detach takes as long as it takes, so nothing else is shortened.
    scale=1,
    load=Load(rate=10),
    # The same slow detach for both: what differs is whether anybody asks for it.
    faults=[
        faults.StuckVolume("worker", operation="detach", delay="10s"),
        faults.Relocate("worker"),
    ],
    objectives=[
        objectives.rollout("worker", within="readiness + 45s"),
        objectives.attached_once("worker"),
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.event("FailedAttachVolume", on="worker", message="Multi-Attach error"),
                shows.attached_elsewhere("worker"),
                shows.waiting("worker", reason="ContainerCreating"),
            ],
        ),
        "hardened": Expect("survived"),
    },
)
