"""Seed 004 security."""

from harness import families

scenario = families.hardening(
    "token",
    title="A token that nobody needs speaks to the API server for whoever reads it",
    source="004 security",
)
