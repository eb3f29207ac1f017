"""A release: what a pipeline applies on top of what stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.declare import register
from harness.errors import FaultError
from harness.faults import rollouts
from harness.faults.base import Achieved, Fault, FaultContext, Met
from harness.kube.client import ApiError, Obj
from harness.manifest.objects import Object, Ref, find_optional, name_of, namespace_of, ref_of
from harness.manifest.variants import apply_order
from harness.undo import changed_objects


@register("fault", "release")
@dataclass(frozen=True)
class Release(Fault):
    """The scenario's `release.yaml` is applied over what stands, object by object.

    What the cluster answers is evidence and no error: an `answer` record has it for each object,
    with the stage of the apply path that refused it. A cluster that fails has answered nothing.
    The target is what the release is about. Healing applies what stood before.
    """

    needs_release: ClassVar[bool] = True
    healed_within: ClassVar[str] = rollouts.HEALED_WITHIN

    @property
    def onset(self) -> str:
        """For sentences: 12 s after <...>."""
        return f"the release of {self.target} was applied"

    def describe(self) -> str:
        """One line for tables."""
        return f"release of {self.target}"

    async def inject(self, ctx: FaultContext) -> None:
        """Apply it, in the order in which objects need each other."""
        target = ctx.role(self.target).ref
        if find_optional(ctx.released, target) is None:
            raise FaultError(
                f"the release has no {target}", remedy=f"bind {self.target} to what it brings"
            )
        for obj, before in self._changes(ctx):
            refusal: ApiError | None = None
            try:
                await changed_objects.apply(
                    ctx.kube, ctx.ledger, obj, before, cluster=ctx.cluster, trial=ctx.trial
                )
            except ApiError as error:
                if error.stage == "store":
                    raise
                refusal = error
            ctx.tell(
                "answer",
                kind=obj["kind"],
                name=name_of(obj),
                namespace=namespace_of(obj),
                admitted=refusal is None,
                code=refusal.status if refusal else 200,
                stage=refusal.stage if refusal else None,
                message=refusal.detail if refusal else "",
            )

    def _changes(self, ctx: FaultContext) -> list[tuple[Object, Object | None]]:
        """Each object as it is applied, and what stands there before, if anything does."""
        changes: list[tuple[Object, Object | None]] = []
        for obj in apply_order(ctx.released):
            before = find_optional(ctx.standing, ref_of(obj))
            changes.append((obj if before else changed_objects.marked(obj, ctx.trial), before))
        return changes

    async def measure(self, ctx: FaultContext) -> Achieved:
        """Whether each object stands as the release has it and its controller knows, or was
        refused and still is."""
        told = {str(ref_of(obj)): await self._taken(ctx, obj) for obj, _ in self._changes(ctx)}
        missing = [name for name, how in told.items() if not how]
        of = find_optional(ctx.released, ctx.role(self.target).ref)
        how = told[str(ref_of(of))] if of is not None else ""
        return Achieved(
            felt=not missing,
            asked={"objects": len(told)},
            achieved={"objects": len(told) - len(missing)},
            note=f"not as released: {', '.join(missing)}" if missing else "; ".join(told.values()),
            met=(Met(self.target, how),) if how else (),
        )

    async def _taken(self, ctx: FaultContext, obj: Object) -> str:
        """What became of one object, in words; empty where it is not (yet) as the release has it.

        The API server is asked what it would make of the object now; that is compared with what
        stands. One that is refused stands nowhere: that it was sent is known by its record alone.
        """
        ref = ref_of(obj)
        live = await ctx.kube.find(obj["apiVersion"], ref.kind, ref.name, ref.namespace)
        try:
            wanted = await ctx.kube.apply(obj, dry_run=True)
        except ApiError as error:
            if error.stage == "store":
                raise
            sent = any(
                (each.kind, each.trial) == (changed_objects.UNDO, ctx.trial)
                and Ref(*(each.data[key] for key in ("kind", "name", "namespace"))) == ref
                for each in ctx.ledger.open_records
            )
            return f"{ref.kind}/{ref.name} refused: {error.detail}" if sent else ""
        if live is None or _content(live) != _content(wanted):
            return ""
        generation = live["metadata"].get("generation", 0)
        # Kinds without a controller that says so have taken it up by standing there.
        seen = (live.get("status") or {}).get("observedGeneration", generation)
        return f"{ref.kind}/{ref.name} stands as released" if seen >= generation else ""


def _content(obj: Obj) -> Obj:
    meta = {key: obj["metadata"].get(key) for key in ("annotations", "labels")}
    return {**{k: v for k, v in obj.items() if k != "status"}, "metadata": meta}
