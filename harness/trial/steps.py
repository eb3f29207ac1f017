"""What the order of a trial's phases needs of the world: the steps, each on its own.

`harness.trial.stage.Stage` carries them out on a cluster; tests of the order only remember them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from typing import Protocol

from harness.faults.base import Fault, FaultContext
from harness.history.history import History
from harness.history.writer import Writer
from harness.load.generator import Generator
from harness.manifest.objects import Object
from harness.trial.observer import Observer
from harness.trial.placement import Placement


class Steps(Protocol):
    """See `Stage` for what each does."""

    placement: Placement
    history: History
    writer: Writer
    observer: Observer
    context: FaultContext
    faults: list[Fault]
    namespaces: list[str]

    @property
    def after_release(self) -> Sequence[Object]: ...

    def introduce(self) -> None: ...

    async def prepare(self) -> None: ...

    async def deploy(self) -> None: ...

    async def ready_the_load(self, stack: AsyncExitStack) -> None: ...

    async def load(self, stack: AsyncExitStack) -> Generator: ...

    async def measure(self, index: int) -> bool: ...

    def about_to_inject(self) -> frozenset[str]: ...

    async def heal(self) -> None: ...

    async def read_audit(self) -> None: ...

    async def remove(self) -> Sequence[str]: ...

    async def residue(self) -> Sequence[str]: ...

    def phase(self, name: str) -> AbstractContextManager[None]: ...

    def tell(self, done: float, total: float, text: str) -> None: ...

    def problem(self, blame: str, message: str) -> None: ...
