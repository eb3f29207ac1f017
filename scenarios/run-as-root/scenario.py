"""Seed 000 section 6; 004 security."""

from harness import families

scenario = families.hardening(
    "root-user",
    title="Whoever gets into a container that runs as root is root",
    source="000 section 6; 004 security",
)
