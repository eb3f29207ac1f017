"""Scenarios that differ in one field and in what is tried against it, so that a row is a few lines.

`from harness import families` in a `scenario.py`; its variants' files lie beside it as always.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness import faults, objectives
from harness.declare import Expect, Observable, Scenario
from harness.objectives import shows

_VERBS = ("CREATE", "UPDATE")


class Told(NamedTuple):
    """What a container says to an intruder who is let through, and to one who is not."""

    fragile: Observable
    hardened: Observable


HARDENING: Mapping[str, Told] = {
    "root-user": Told(
        shows.allowed("workload", says="uid 0"),
        shows.refused("workload", code="EPERM", says="uid 1000"),
    ),
    "payload-drop": Told(
        shows.allowed("workload", says="was written and executed"),
        shows.refused("workload", code="EROFS"),
    ),
    "setuid-root": Told(
        shows.allowed("workload", says="effective uid 0 (uid 1000"),
        shows.refused(
            "workload", says="effective uid 1000 (uid 1000, CapEff: 0000000000000000, NoNewPrivs: 1"
        ),
    ),
    "raw-socket": Told(
        shows.allowed("workload", says="a raw socket was opened"),
        shows.refused("workload", code="EPERM", says="CapEff: 0000000000000000"),
    ),
    "filtered-syscall": Told(
        shows.allowed("workload", says="Seccomp: 0"),
        shows.refused("workload", code="EPERM", says="Seccomp: 2"),
    ),
    "token": Told(
        shows.allowed("workload", says="token read; the API server answered system:serviceaccount"),
        shows.refused("workload", says="no token; the API server answered 40"),
    ),
}
"""By technique (see `harness.faults.intruder`); `uid 1000` is the sample subject's."""


def admission(tag: str, *, title: str, source: str) -> Scenario:
    """Somebody asks for the workload with images of a tag, new and as a change: `fragile` lets it
    in, the policy of `hardened` does not, and lets other tags pass."""
    return Scenario(
        title=title,
        source=source,
        subject="web",
        scale=5,
        faults=[faults.TaggedImage("workload", tag=tag)],
        objectives=[objectives.refused("workload"), *objectives.SERVES],
        variants={
            "fragile": Expect("failed", shows=[shows.allowed("workload", says=v) for v in _VERBS]),
            "hardened": Expect(
                "survived", shows=[shows.refused("workload", code="422", says=v) for v in _VERBS]
            ),
        },
    )


def hardening(technique: str, *, title: str, source: str) -> Scenario:
    """Somebody in every pod of the workload tries a technique: `fragile` lets them, `hardened`
    refuses, and both serve as before, since a lock-down that breaks the application is no cure."""
    told = HARDENING[technique]
    return Scenario(
        title=title,
        source=source,
        subject="web",
        scale=5,
        faults=[faults.Exploit("workload", technique=technique)],
        objectives=[objectives.refused("workload"), *objectives.SERVES],
        variants={
            "fragile": Expect("failed", shows=[told.fragile]),
            "hardened": Expect("survived", shows=[told.hardened]),
        },
    )
