"""Seed 000 section 6; 004 security."""

from harness import families

scenario = families.hardening(
    "raw-socket",
    title="Capabilities that nobody needs let an intruder forge packets",
    source="000 section 6; 004 security",
)
