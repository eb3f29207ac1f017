"""What a watch tells: changes of objects, and spans in which nothing could be seen of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.kube.client import Obj

Verb = Literal["ADDED", "MODIFIED", "DELETED"]
Difference = tuple[Verb, Obj]


@dataclass(frozen=True, kw_only=True)
class WatchSpec:
    """What to watch; without a namespace: in all of them."""

    api_version: str
    kind: str
    namespace: str | None = None
    label_selector: str | None = None
    field_selector: str | None = None

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.kind}{where}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of one object, as it arrived.

    `monotonic_ns` is the moment of arrival. `relisted`: found by comparing lists, so it happened
    some time before and may stand for several changes.
    """

    kind: str
    verb: Verb
    object: Obj
    monotonic_ns: int
    relisted: bool = False

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Empty for cluster-scoped objects."""
        return str(self.object["metadata"].get("namespace") or "")


@dataclass(frozen=True, kw_only=True)
class Blindness:
    """A span in which changes of `spec` could not be seen as they happened.

    Reported when it begins (`ended_ns` None), when it turns out `lasting`, and when it ends.
    `lasting`: the server says no to what is asked (a permission, a kind), so waiting alone mends
    nothing. `lost` tells whether changes in between may be missing (a list had to be compared) or
    only came late.
    """

    spec: WatchSpec
    reason: str
    began_ns: int
    ended_ns: int | None = None
    lasting: bool = False
    lost: bool = False


OnChange = Callable[[Change], None]
OnBlind = Callable[[Blindness], None]


def differences(known: Mapping[tuple[str, str], Obj], listed: Sequence[Obj]) -> list[Difference]:
    """What a list says of a state known before. An object that was replaced under its name (other
    uid) is a deletion and an addition. Deletions come first, as they must have."""
    now = {key_of(obj): obj for obj in listed}
    gone: list[Difference] = []
    come: list[Difference] = []
    for key, old in known.items():
        new = now.get(key)
        if new is None or new["metadata"]["uid"] != old["metadata"]["uid"]:
            gone.append(("DELETED", old))
    for key, new in now.items():
        before = known.get(key)
        if before is None or before["metadata"]["uid"] != new["metadata"]["uid"]:
            come.append(("ADDED", new))
        elif before["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"]:
            come.append(("MODIFIED", new))
    return gone + come


def key_of(obj: Obj) -> tuple[str, str]:
    metadata = obj["metadata"]
    return str(metadata.get("namespace") or ""), str(metadata["name"])
