"""Seed 004 security."""

from harness import families

scenario = families.hardening(
    "filtered-syscall",
    title="Without a filter an intruder may make every system call",
    source="004 security",
)
