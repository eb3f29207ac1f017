"""What the faults share that hold sessions in a database: opened by the agent, held, released.

The agent ends sessions that nobody renews, and the server ends them if the agent is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import FaultError
from harness.faults import agent_pod, own_pods, proxied
from harness.faults.base import FaultContext, Support
from harness.history.facts import Json
from harness.kube.client import ApiError
from harness.manifest.objects import Object
from harness.manifest.subject_file import Role
from harness.undo.reach import World
from harness.undo.record import Record
from harness.undo.registry import undo

UNDO = "sessions"
PROTOCOLS = ("postgres", "mysql")
TTL_S = 30.0
"""Sessions end by themselves this long after they were last renewed; measurements renew them."""


def support(role: Role, objects: Sequence[Object]) -> Support:
    """Whether sessions can be held in the role's database, and who uses it can be told."""
    found = proxied.support(role, objects)
    if found.state == "unsupported":
        return found
    protocol = agent_pod.protocol_of(role, objects)
    if protocol not in PROTOCOLS:
        known = " and ".join(PROTOCOLS)
        return Support("unsupported", f"{role.ref} speaks {protocol}; known here are {known}")
    return found


async def hold(ctx: FaultContext, role: Role, name: str, asked: Json) -> Json:
    """Ledger record, then the sessions; what the agent says of them."""
    ctx.record(UNDO, {"namespace": ctx.own_namespace, "name": name})
    body = {**await agent_pod.where(ctx, role), **asked, "name": name, "ttl": TTL_S}
    return await agent_pod.ask(ctx, "PUT", "/sessions", body)


async def renew(ctx: FaultContext, name: str) -> bool:
    """Keep the sessions for another `TTL_S`; False if they are gone already."""
    body = {"name": name, "ttl": TTL_S}
    answer = await agent_pod.ask(ctx, "POST", "/sessions/renew", body)
    return bool(answer["renewed"])


@undo(UNDO)
async def release(record: Record, world: World) -> None:
    """Heal: the sessions end. Nothing to do if the agent is gone: they went with it."""
    namespace = record.data["namespace"]
    kube = await world.kube(record)
    for pod in await kube.list("v1", "Pod", namespace, labels=f"{own_pods.PART}={agent_pod.NAME}"):
        if pod.get("status", {}).get("phase") != "Running" or own_pods.deleting(pod):
            continue
        name, path = pod["metadata"]["name"], f"/sessions/{record.data['name']}"
        try:
            answer = await kube.pod_proxy(namespace, name, agent_pod.PORT, "DELETE", path)
        except ApiError as error:
            if error.not_found:
                continue
            raise
        if answer.status != 200:
            raise FaultError(
                f"sessions are still held by {name}: {answer.status} {answer.text[:200]}",
                remedy=f"delete the pod: kubectl -n {namespace} delete pod {name}",
            )
