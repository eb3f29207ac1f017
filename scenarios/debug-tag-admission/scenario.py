"""Seed 000 section 7."""

from harness import families

scenario = families.admission(
    "v1.2.3-debug-DONT-PUSH",
    title="Nothing but a policy stops an image that says of itself that it must not be used",
    source="000 section 7",
)
