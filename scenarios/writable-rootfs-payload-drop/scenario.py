"""Seed 000 section 6; 004 security."""

from harness import families

scenario = families.hardening(
    "payload-drop",
    title="A writable root file system takes whatever an intruder drops there",
    source="000 section 6; 004 security",
)
