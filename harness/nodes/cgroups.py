"""What the kernel counted for a pod, read in its node: memory, on cgroup v1 and v2.

Of the pod's own group, which outlives the restarts of its containers.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.nodes.nodes import NodeCommands

FIND = r"""
pod_group() {
  for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    found=$(find "$root" -maxdepth 6 -type d \( -name "*pod$1*" -o -name "*pod${1//-/_}*" \) \
      2>/dev/null | head -n 1)
    [ -z "$found" ] || { echo "$found"; return; }
  done
}
"""
"""A shell function: the folder of a pod's memory group, by the pod's UID; nothing if it is gone."""

_READ = (
    FIND
    + r"""
group=$(pod_group "$1"); [ -n "$group" ] || exit 0; cd "$group"
number() { [ ! -r "$1" ] || { v=$(cat "$1"); [ "$v" = max ] || echo "$2 $v"; }; }
number memory.max_usage_in_bytes peak; number memory.peak peak
number memory.usage_in_bytes used; number memory.current used
number memory.limit_in_bytes limit; number memory.max limit
number memory.failcnt failures
[ ! -r memory.events ] || awk '$1 == "max" {print "failures", $2}' memory.events
"""
)
_NO_LIMIT = 1 << 60
"""What version 1 shows where there is no limit lies above."""


@dataclass(frozen=True, kw_only=True)
class PodMemory:
    """Bytes: the most that was ever used, what is used now, the limit (None without one); and how
    often a page was refused because of the limit."""

    peak: int
    used: int
    limit: int | None
    failures: int


async def pod_memory(nodes: NodeCommands, node: str, pod_uid: str) -> PodMemory | None:
    """The counters of a pod's memory group; None if the pod has none (any more)."""
    done = await nodes.run(node, ["bash", "-c", _READ, "bash", pod_uid])
    return parse(done.require().text)


def parse(text: str) -> PodMemory | None:
    """The counters from `name value` lines."""
    found = {name: int(value) for name, value in (line.split() for line in text.splitlines())}
    if "used" not in found:
        return None
    limit = found.get("limit", _NO_LIMIT)
    return PodMemory(
        # Kernels before 5.19 keep no peak in version 2.
        peak=found.get("peak", found["used"]),
        used=found["used"],
        limit=limit if limit < _NO_LIMIT else None,
        failures=found.get("failures", 0),
    )
