"""List and watch of our own: survives every answer of an API server, and says when it was blind.

One loop for each `WatchSpec`, which never gives up. Where the server refuses to go on from the last
version, what changed while nobody watched is found by listing again and comparing with what was
known. Keeping the objects is `store.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson

from harness.errors import ClusterError, ManifestError
from harness.kube.background import background
from harness.kube.changes import (
    Blindness,
    Change,
    OnBlind,
    OnChange,
    Verb,
    WatchSpec,
    differences,
    key_of,
)
from harness.kube.client import Kube, Obj
from harness.kube.discovery import Resource
from harness.kube.objects import selectors
from harness.kube.responses import Answer, ApiError, UnreachableError, error_of
from harness.kube.transport import Stream

# The server closes a watch after this; it then goes on from the last resourceVersion.
_WATCH_SECONDS = 300
# API servers send a bookmark about every 60 s, so a longer silence is a dead connection.
_SILENCE_SECONDS = 150.0
# A paused or unreachable API server keeps connections open in silence; this finds it.
_PULSE_SECONDS = 1.0
_PULSE_TIMEOUT_SECONDS = 3.0
_RECONNECT_SECONDS = (0.1, 2.0)


class Watcher:
    """Watches several kinds for the length of a scope.

        async with Watcher(kube, specs, on_change, on_blind) as watcher:
            await watcher.synced(within=60)

    Callbacks run in the event loop, one at a time, in order of arrival; an error in one ends the
    scope with that error.
    """

    def __init__(
        self,
        kube: Kube,
        specs: Sequence[WatchSpec],
        on_change: OnChange,
        on_blind: OnBlind | None = None,
    ) -> None:
        self._kube = kube
        self._loops = [_Loop(kube, spec, on_change, on_blind or _unheard) for spec in specs]
        self._scope = self._run()

    async def __aenter__(self) -> Watcher:
        await self._scope.__aenter__()
        return self

    async def __aexit__(self, *failure: Any) -> bool | None:
        return await self._scope.__aexit__(*failure)

    async def synced(self, *, within: float) -> None:
        """Returns when the objects that exist have been reported for every spec.

        Raises ClusterError, with the reasons, after so many seconds, and at once what will not
        pass.
        """
        try:
            async with asyncio.timeout(within):
                for loop in self._loops:
                    await loop.synced.wait()
        except TimeoutError as error:
            why = "; ".join(f"{each.spec}: {each.reason}" for each in self.blind)
            raise ClusterError(
                f"the cluster could not be listed within {within:.0f} s: {why or 'no answer yet'}",
                remedy="see the state of the API server with `harness status`",
            ) from error

    @property
    def blind(self) -> list[Blindness]:
        """The spans that have begun and not ended."""
        return [loop.blindness for loop in self._loops if loop.blindness is not None]

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        async with background(*(loop.run() for loop in self._loops), self._pulse()):
            yield

    async def _pulse(self) -> None:
        """Finds an API server that holds connections and says nothing."""
        while True:
            began_ns = time.monotonic_ns()
            try:
                # Of /livez only `ping`: the rest asks etcd, whose slowness blinds nobody.
                await self._kube.wire.request(
                    "GET",
                    "/livez/ping",
                    retry=False,
                    raise_for_status=False,
                    accept="*/*",
                    timeout=_PULSE_TIMEOUT_SECONDS,
                )
            except UnreachableError as error:
                for loop in self._loops:
                    loop.go_blind(error.message, began_ns)
            else:
                for loop in self._loops:
                    loop.wake()
            await asyncio.sleep(_PULSE_SECONDS)


class _Loop:
    """The list and watch of one spec."""

    def __init__(self, kube: Kube, spec: WatchSpec, on_change: OnChange, on_blind: OnBlind) -> None:
        self.spec = spec
        self.synced = asyncio.Event()
        self.blindness: Blindness | None = None
        self._kube = kube
        self._on_change = on_change
        self._on_blind = on_blind
        self._known: dict[tuple[str, str], Obj] = {}
        self._version = ""
        self._stream: Stream | None = None
        self._awake = asyncio.Event()

    async def run(self) -> None:
        delay = _RECONNECT_SECONDS[0]
        while True:
            try:
                if not self._version:
                    await self._relist()
                await self._follow()
            except UnreachableError as error:
                self.go_blind(error.message)
            except ClusterError as error:
                self.go_blind(error.message)
                if not self._version and _lasting(error):
                    if not self.synced.is_set():
                        raise
                    self._give_no_hope(error.message)
                # Whatever it refuses, to go on from this version is nothing to rely on.
                self._version = ""
            else:
                # The server ended the watch in its own time; nothing was missed.
                delay = _RECONNECT_SECONDS[0]
                continue
            self._awake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._awake.wait()
            delay = min(delay * 2, _RECONNECT_SECONDS[1])

    def go_blind(self, reason: str, ns: int | None = None) -> None:
        if self.blindness is None:
            self.blindness = Blindness(
                spec=self.spec,
                reason=reason,
                began_ns=ns if ns is not None else time.monotonic_ns(),
            )
            self._on_blind(self.blindness)
        if self._stream is not None:
            # It may be half dead; a fresh one from the last version misses nothing.
            self._stream.close()

    def _give_no_hope(self, reason: str) -> None:
        if self.blindness is not None and not self.blindness.lasting:
            self.blindness = replace(self.blindness, reason=reason, lasting=True)
            self._on_blind(self.blindness)

    def wake(self) -> None:
        """The API server answers again: try now."""
        self._awake.set()

    async def _relist(self) -> None:
        spec = self.spec
        await self._resource()
        items, version = await self._kube.list_at(
            spec.api_version,
            spec.kind,
            spec.namespace,
            labels=spec.label_selector,
            fields=spec.field_selector,
        )
        if self.blindness is not None:
            self.blindness = replace(self.blindness, lost=True)
        for verb, obj in differences(self._known, items):
            self._tell(verb, obj, relisted=True)
        self._version = version
        self.synced.set()

    async def _follow(self) -> None:
        spec = self.spec
        resource = await self._resource()
        params = selectors(spec.label_selector, spec.field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        path = resource.path(namespace=spec.namespace)
        wire = self._kube.wire
        async with wire.stream(path, params=params, silence=_SILENCE_SECONDS) as stream:
            self._stream = stream
            self._see_again()
            try:
                async for line in stream:
                    try:
                        event = orjson.loads(line)
                    except orjson.JSONDecodeError as torn:
                        raise wire.unreachable(f"WATCH {path}", torn) from torn
                    self._take(event)
            finally:
                self._stream = None

    async def _resource(self) -> Resource:
        try:
            return await self._kube.resource(self.spec.api_version, self.spec.kind)
        except ManifestError as error:
            # What is watched was chosen by the harness: no manifest is to blame.
            raise ClusterError(
                f"{self.spec} cannot be watched: {error.message}",
                remedy="use a cluster that the harness made (`harness up`)",
            ) from error

    def _take(self, event: Obj) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            status = int(obj.get("code") or 500)
            raise error_of(f"WATCH {self.spec}", Answer(status=status, body=orjson.dumps(obj)))
        if kind != "BOOKMARK":
            self._tell(kind, obj, relisted=False)
        self._version = obj["metadata"]["resourceVersion"]

    def _tell(self, verb: Verb, obj: Obj, *, relisted: bool) -> None:
        if verb == "DELETED":
            self._known.pop(key_of(obj), None)
        else:
            self._known[key_of(obj)] = obj
        self._on_change(
            Change(
                kind=self.spec.kind,
                verb=verb,
                object=obj,
                monotonic_ns=time.monotonic_ns(),
                relisted=relisted,
            )
        )

    def _see_again(self) -> None:
        if self.blindness is not None:
            over = replace(self.blindness, ended_ns=time.monotonic_ns())
            self.blindness = None
            self._on_blind(over)


def _lasting(error: ClusterError) -> bool:
    """Whether the server says no to what is asked, and not only for now."""
    return not isinstance(error, ApiError) or error.status in (400, 401, 403, 404, 405)


def _unheard(_: Blindness) -> None:
    """For callers that do not want to know; the spans stay in `Watcher.blind`."""
