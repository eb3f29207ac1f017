"""After seed 000, section 5: a node is lost, and its pods stay bound to it for 300 s."""

from harness import Expect, Load, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A worker on a lost node is not replaced for minutes",
    source="000 section 5",
    subject="checkout",
    shape="workers",
    # Kubernetes' timers for nodes stay as they are in every trial, so nothing else is shortened.
    scale=1,
    load=Load(rate=10),
    faults=[faults.NodeLoss("worker", mode="paused")],
    objectives=[
        # 50 s until Kubernetes knows, the 10 s of the hardened variant, and some more for a busy
        # machine; the default of 300 s is far beyond.
        objectives.self_healing("worker", within="readiness + 90s"),
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.event("NodeNotReady", on="worker"),
                shows.stranded("worker", during="30s"),
            ],
        ),
        "hardened": Expect("survived"),
    },
)
