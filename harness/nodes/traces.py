"""What of a fault may stay in a node, each as one line: what `prove clean` compares.

Units and files of ours, processes that stand still, memory that is charged beside containers, and
packet filters that are not Kubernetes' own. What a trial makes carries the trial in its name.
"""

from __future__ import annotations

from harness.nodes.nodes import NodeCommands

FILTERS = ("packet filter ", "packet rule ")
"""How the lines begin that nothing of ours ever takes away by itself."""

# One script, since a command in a node costs a tenth of a second; run twice in a trial.
_LOOK = r"""
systemctl list-units --all --plain --no-legend 'harness-*' | while read -r name _; do
  echo "unit $name"
done
for file in /run/resilience-harness/*; do [ ! -e "$file" ] || echo "file $file"; done
for status in $(grep -ls '^State:[[:space:]]*T' /proc/[0-9]*/status); do
  process=${status%/status}
  pod=$(grep -o -m 1 'pod[0-9a-f][0-9a-f_-]*' "$process/cgroup")
  echo "stopped process $(cat "$process/comm") of ${pod:-the node}"
done
groups=/sys/fs/cgroup/memory; [ -d $groups ] || groups=/sys/fs/cgroup
find $groups -maxdepth 7 -type d -path '*pod*/harness' 2>/dev/null | sed 's/^/memory charged to /'
nft list tables | sed 's/^/packet filter /'
{ iptables-save; ip6tables-save; } 2>/dev/null | grep '^-A' | grep -v 'KUBE-\|CNI-' |
  sed 's/^/packet rule /'
true
"""
_LOOK_S = 20.0


async def traces(nodes: NodeCommands, node: str) -> frozenset[str]:
    """The traces in a node now. Raises `HarnessError` where it cannot be asked (paused, dead)."""
    done = await nodes.run(node, ["bash", "-c", _LOOK], timeout=_LOOK_S)
    return frozenset(done.require().text.splitlines())
