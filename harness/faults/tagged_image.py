"""An image tag that nobody should be able to bring into the cluster, asked for at the API."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from harness.declare import register
from harness.errors import UsageError
from harness.faults import attempts, workloads
from harness.faults.attempts import Said, Tried
from harness.faults.base import Achieved, Fault, FaultContext, Met, Support
from harness.kube.client import ApiError, Kube, UnreachableError
from harness.manifest.images import ImageName
from harness.manifest.objects import Object, containers, find, name_of
from harness.manifest.subject_file import Role
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "tagged-image"
WHO = "a pipeline"
CLEAN = "1.0.0"
"""A tag that nobody forbids."""


@register("fault", "tagged-image")
@dataclass(frozen=True)
class TaggedImage(Fault):
    """Somebody asks the API server for the target with images of another tag, such as `latest`.

    Once as a new workload of its own, once as a change of the target; both as a dry run, which
    takes the whole way through admission and keeps nothing. Felt: both got a yes or a no, and the
    same with a tag that nobody forbids was admitted.
    """

    tag: str = field(kw_only=True)

    spares_target: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.tag in ("", CLEAN):
            raise UsageError(f"nobody forbids the tag {self.tag!r}", remedy='give tag="latest"')

    @property
    def onset(self) -> str:
        """For sentences: 2 s after <...>."""
        return f"{WHO} asked for the {self.target} with images tagged {self.tag}"

    def describe(self) -> str:
        """One line for tables."""
        return f"images of the {self.target} tagged {self.tag}"

    def target_support(self, role: Role, objects: Sequence[Object]) -> Support:
        """Any workload."""
        return workloads.support(role)

    async def inject(self, ctx: FaultContext) -> None:
        """The first time."""
        ctx.record(UNDO, {"fault": self.to_json()})
        await self._try(ctx, [CLEAN, self.tag])

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Ask once more; before the injection and after the heal only for the permitted tag."""
        going_on = attempts.going_on(ctx, UNDO, self)
        tried = await self._try(ctx, [CLEAN, self.tag] if going_on else [CLEAN])
        met = Met(WHO, f"it asked for the {self.target} with that tag")
        return attempts.achieved(tried, len(_VERBS), [met])

    async def _try(self, ctx: FaultContext, tags: Sequence[str]) -> list[tuple[str, Tried]]:
        standing = find(ctx.standing, ctx.role(self.target).ref)
        tried = [
            (WHO, await _ask(ctx.kube, verb, make(standing), tag))
            for tag in tags
            for verb, make in _VERBS.items()
        ]
        attempts.tell(ctx, self.name, self.target, tried)
        return tried


@undo(UNDO)
async def stop_asking(record: Record, world: World) -> None:
    """Heal: nobody asks any more. Of a dry run nothing is kept."""


def _new(standing: Object) -> Object:
    """A workload like the standing one."""
    made = copy.deepcopy(standing)
    made["metadata"]["name"] += "-too"
    return made


def _changed(standing: Object) -> Object:
    return copy.deepcopy(standing)


_VERBS: Mapping[str, Callable[[Object], Object]] = {"CREATE": _new, "UPDATE": _changed}


async def _ask(kube: Kube, verb: str, obj: Object, tag: str) -> Tried:
    """Only admission says no; whatever else goes wrong is no answer."""
    for container in containers(obj):
        container["image"] = _tagged(container["image"], tag)
    tried = Tried(
        target=f"{verb} with tag {tag}",
        permitted=tag == CLEAN,
        answer="allowed",
        code="",
        text=f"{verb} of {obj['kind']}/{name_of(obj)} was admitted",
    )
    try:
        await kube.apply(obj, dry_run=True)
    except ApiError as error:
        said = f"{verb} of {obj['kind']}/{name_of(obj)}: {error.detail}"
        answer: Said = "refused" if error.stage == "admission" else "silent"
        return replace(tried, answer=answer, code=str(error.status), text=said)
    except UnreachableError as error:
        return replace(tried, answer="silent", text=error.message)
    return tried


def _tagged(image: str, tag: str) -> str:
    return str(replace(ImageName.parse(image), tag=tag, digest=None))
