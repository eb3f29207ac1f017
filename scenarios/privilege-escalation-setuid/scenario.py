"""Seed 000 section 6; 004 security."""

from harness import families

scenario = families.hardening(
    "setuid-root",
    title="A setuid program makes an intruder root unless privileges cannot be gained",
    source="000 section 6; 004 security",
)
