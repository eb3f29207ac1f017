"""After seed 000, checklist: a budget that allows nothing keeps a node from ever being drained."""

from harness import Expect, Scenario, faults, objectives, shows

scenario = Scenario(
    title="A disruption budget that allows no disruption blocks every drain",
    source="000 checklist 7",
    subject="web",
    shape="workers",
    scale=5,
    faults=[faults.Drain("workload")],
    objectives=[
        objectives.drained("workload", within="grace + 60s"),
        *objectives.SERVES,
    ],
    variants={
        "fragile": Expect(
            "failed",
            shows=[
                shows.budget("workload", allows=0),
                shows.eviction_refused("workload", during="60s"),
            ],
        ),
        "hardened": Expect("survived", shows=[shows.budget("workload", allows=1)]),
    },
)
