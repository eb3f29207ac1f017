"""Seed 004 apply path."""

from harness import families

scenario = families.admission(
    "latest",
    title="Without a policy an image that may be anything tomorrow gets in",
    source="004 apply path",
)
