"""What faults share in which somebody tries something: how it is told, and when it is felt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from harness.faults.base import Achieved, Fault, FaultContext, Met

Said = Literal["allowed", "refused", "silent"]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One try and what came of it; `silent`: nobody said yes or no. `permitted`: on something that
    nobody forbids, which shows that whoever tries is able to."""

    target: str
    permitted: bool
    answer: Said
    code: str
    text: str


def going_on(ctx: FaultContext, kind: str, fault: Fault) -> bool:
    """Whether a fault was injected and not healed yet: its record of this kind has its `fault`."""
    return any(
        (each.kind, each.trial) == (kind, ctx.trial) and each.data["fault"] == fault.to_json()
        for each in ctx.ledger.open_records
    )


def tell(ctx: FaultContext, name: str, role: str, tried: Sequence[tuple[str, Tried]]) -> None:
    """Write down who tried what on a role, and what came of it."""
    for by, each in tried:
        ctx.tell("attempt", name=name, role=role, by=by, **asdict(each))


def achieved(tried: Sequence[tuple[str, Tried]], wanted: int, met: Sequence[Met]) -> Achieved:
    """Felt once as many as `wanted` got a yes or a no, and each beside it the same towards
    something permitted, so that a no is not just the intruder's own inability."""
    able = [by for by, each in tried if each.permitted and each.answer == "allowed"]
    answered = [by for by, each in tried if not each.permitted and each.answer != "silent"]
    return Achieved(
        felt=wanted > 0 and len(able) == len(answered) == wanted,
        asked={"answers": wanted, "controls": wanted},
        achieved={"answers": len(answered), "controls": len(able)},
        note=_told(tried),
        met=tuple(each for each in met if each.by in answered),
    )


def _told(tried: Sequence[tuple[str, Tried]]) -> str:
    """What decides first: a silence, a permitted try that did not get through, then the answers."""
    if not tried:
        return "there is nobody who could try anything"
    for by, each in tried:
        if each.answer == "silent":
            return f"no answer to {by}: {each.text}"
        if each.permitted and each.answer == "refused":
            return f"{by} cannot even reach for {each.target}, which is permitted: {each.text}"
    answers = [
        f"{each.target} {each.answer} to {by}: {each.text}"
        for by, each in tried
        if not each.permitted
    ]
    return "; ".join(answers) or "nothing was reached for but what is permitted"
