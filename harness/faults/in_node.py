"""Things that a fault leaves running in a node, and that end by themselves.

Each has a file with the time (Unix seconds) until which it may last. A small loop in the node waits
for that time, or for the file to go, and then heals: so a fault ends even if the harness died and
nobody comes back. Keyed on the node and a name, never on a container id.
"""

from __future__ import annotations

import re
import time

from harness.nodes.nodes import NodeCommands

TTL_S = 30.0
"""What is not renewed within this time ends by itself; each measurement renews it."""

FOLDER = "/run/resilience-harness"
"""In a node: whatever waits there to end has its files here."""

# Both scripts reach the unit in files: systemd-run expands what looks like a variable in the words
# that it is given, and a heal whose `${1//-/_}` is gone would heal every pod of the node.
_START = r"""
set -e
mkdir -p "$1"; file="$1/$2"; echo "$3" > "$file"; echo "$4" > "$file.heal"; echo "$5" > "$file.loop"
# A unit of its own, so that it outlives whoever started it.
systemd-run --quiet --collect --unit="harness-$2" bash "$file.loop" "$file"
"""
_LOOP = r"""
while [ -e "$1" ] && [ "$(date +%s)" -lt "$(cat "$1" 2>/dev/null || echo 0)" ]; do sleep 0.5; done
rm -f "$1"; . "$1.heal"; rm -f "$1.heal" "$1.loop"
"""
# Renamed into place: the loop must never read a file that is being written.
_RENEW = '[ -e "$1" ] && echo "$2" > "$1.new" && mv "$1.new" "$1"'
# The loop goes, too: one that still sleeps would take a file of the same name for its own.
_STOP = r"""
rm -f "$1/$2"; eval "$3"; healed=$?
systemctl stop "harness-$2" 2>/dev/null; rm -f "$1/$2".*
exit $healed
"""


async def start(nodes: NodeCommands, node: str, name: str, heal: str) -> None:
    """From now on `heal`, a shell command, is run once `TTL_S` have passed without `renew`."""
    words = ["bash", "-c", _START, "bash", FOLDER, _safe(name), _until(), heal, _LOOP]
    (await nodes.run(node, words)).require()


async def renew(nodes: NodeCommands, node: str, name: str) -> bool:
    """Another `TTL_S`; False if it has ended already."""
    words = ["bash", "-c", _RENEW, "bash", f"{FOLDER}/{_safe(name)}", _until()]
    return (await nodes.run(node, words)).code == 0


async def stop(nodes: NodeCommands, node: str, name: str, heal: str) -> None:
    """End it now and heal; nothing happens where nothing is left."""
    words = ["bash", "-c", _STOP, "bash", FOLDER, _safe(name), heal]
    (await nodes.run(node, words)).require()


def _until() -> str:
    return f"{time.time() + TTL_S:.0f}"


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", name)
