"""The reference page of everything that a scenario may name, made from docstrings and signatures.

`python -m harness.authoring.reference` writes it to standard output; `make docs` keeps it in
`docs/reference.md`. What packages of a user's own register is left out.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

from harness import declare, families, faults, objectives
from harness.faults.base import Fault
from harness.history import records
from harness.history.facts import TIMES
from harness.history.history import History
from harness.objectives import shows
from harness.objectives.shows.observable import Watched

_WIDTH = 88
_TOLD = {
    "host_support": "Host",
    "target_support": "Target",
    "prepare": "Prepared",
    "inject": "Injected",
    "measure": "Felt",
    "judge": "Judged",
    "control": "Control run",
    "exposure": "Exposure",
    "seen_in": "Seen",
    "hidden": "Unseen",
}
"""Methods that an entry tells of, where its class has a say of its own, and under which word."""

_HEAD = f"""\
# Reference

Made by `make docs` from the docstrings; `make lint` checks that it is current. Durations are texts
such as `"1500ms"`, `"3s"` or `"5m"`, quantities Kubernetes' own (`"64Mi"`). A bound (`within`) is a
sum of durations and of times of the manifest, such as `"2 x readiness + 5s"`; the times are
{", ".join(f"`{time}`" for time in TIMES)}. Roles are names that the
subject's `harness.toml` (or the scenario) binds.
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_HEAD, *_scenario(), *_families(), *_questions()]) + "\n"


def _scenario() -> Iterator[str]:
    yield "## Scenario, Load, Expect\n"
    for kind in (declare.Scenario, declare.Load, declare.Expect):
        yield from _entry(kind.__name__, kind)
    yield f"## Families\n\n{_doc(families)}\n"
    for name, made in vars(families).items():
        if inspect.isfunction(made) and made.__module__ == families.__name__:
            yield from _entry(f"families.{name}", made)
    yield f"Techniques of `hardening`: {', '.join(f'`{each}`' for each in families.HARDENING)}.\n"


def _families() -> Iterator[str]:
    for family, title, module in (
        ("fault", "Faults", faults),
        ("objective", "Objectives", objectives),
        ("shows", "What a variant must show", shows),
    ):
        yield f"## {title}\n\n{_doc(module)}\n"
        kinds = declare.registered(family).values()
        for name in sorted(module.__all__, key=str.lower):
            full = f"{module.__name__.rpartition('.')[2]}.{name}"
            value = getattr(module, name)
            if value in kinds:
                yield from _entry(full, value)
                yield from _facts(value)
            elif isinstance(value, tuple):
                yield f"### {full}\n\n{'; '.join(each.describe() for each in value)}.\n"


def _entry(name: str, kind: Callable[..., object]) -> Iterator[str]:
    yield f"### {name}\n\n```python\n{_call(name, kind)}\n```\n\n{_doc(kind)}\n"


def _facts(kind: type) -> Iterator[str]:
    for method, word in _TOLD.items():
        whose = next((base for base in kind.__mro__ if method in vars(base)), None)
        if whose not in (None, Fault, Watched):
            yield f"- {word}: {_flat(getattr(kind, method))}"
    yield f"- {'; '.join(_told(kind))}.\n"


def _told(kind: Any) -> Iterator[str]:
    yield f"Stored as `{kind.name}`"
    if hasattr(kind, "scope"):
        yield f"scope `{kind.scope}`"
    if hasattr(kind, "watches"):
        yield f"reads {', '.join(kind.watches)}"
    if issubclass(kind, Fault):
        yield f"felt within {kind.felt_within}, healed within {kind.healed_within}"
        if kind.addons:
            yield f"add-ons: {', '.join(kind.addons)}"


def _questions() -> Iterator[str]:
    yield (
        "## What a history answers\n\nFor an objective or an observable of your own. Times are "
        "monotonic nanoseconds; what the file\nhas, samples included, is in "
        "[history.md](history.md).\n"
    )
    for name, member in sorted(inspect.getmembers(History)):
        function = member.fget if isinstance(member, property) else member
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        answer = inspect.signature(function).return_annotation
        if answer != "None":
            words = "" if function is not member else f"({', '.join(_parameters(function))})"
            yield f"- `history.{name}{words}` -> `{answer}`: {_flat(function)}"
    yield "\n### What it answers with\n"
    for name, kind in vars(records).items():
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            yield f"- `{name}({', '.join(_parameters(kind))})`: {_flat(kind)}"


def _call(name: str, called: Callable[..., object]) -> str:
    """A call with its parameters, on one line if it fits, else one parameter a line."""
    words = list(_parameters(called))
    line = f"{name}({', '.join(words)})"
    if len(line) <= _WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + ")"


def _parameters(called: Callable[..., object]) -> Iterator[str]:
    names = vars(sys.modules[called.__module__])
    keywords = False
    for each in inspect.signature(called).parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and not keywords:
            yield "*"
            keywords = True
        kind = names.get(each.annotation)
        choice = " | ".join(map(json.dumps, get_args(kind))) if get_origin(kind) is Literal else ""
        default = "" if each.default is each.empty else f" = {_literal(each.default)}"
        yield f"{each.name}: {choice or each.annotation}{default}"


def _literal(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}()"
    return "..." if callable(value) or "factory" in repr(value) else repr(value)


def _doc(of: object) -> str:
    return inspect.getdoc(of) or ""


def _flat(of: object) -> str:
    """A docstring for the middle of a line; what begins with a name begins with it still."""
    text = " ".join(_doc(of).split())
    return text[0].lower() + text[1:] if text[1:2] in " abcdefghijklmnopqrstuvwxyz" else text


if __name__ == "__main__":
    sys.stdout.write(page())
