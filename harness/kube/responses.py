"""What an API server answers: taken as it is, or as an error that says where the request died."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from harness.errors import ClusterError

Stage = Literal["authentication", "authorization", "admission", "validation", "store"]

_REMEDY: dict[Stage, str] = {
    "authentication": "The credential in the kubeconfig is not accepted; write the kubeconfig anew"
    " (`harness up` does) or name another context.",
    "authorization": "The user of this kubeconfig lacks the permission named above; grant it or"
    " use a context that has it.",
    "admission": "A rule of the cluster (quota, Pod Security, webhook, policy) refused this; change"
    " the manifest so that it complies, or the rule.",
    "validation": "Correct the named field of the manifest.",
    "store": "The API server or its store could not do it; see its state with `harness status`,"
    " and whether a fault is active.",
}


class UnreachableError(ClusterError):
    """No answer from the API server: refused, reset, timed out."""


class ApiError(ClusterError):
    """The API server answered with an error.

    `status` is the HTTP code, `reason` Kubernetes' machine word (`NotFound`, `Forbidden`...; may
    be empty), `detail` the server's own text, `stage` where on the apply path the request died,
    `body` the Status object as received (empty if the answer was not one), `early` whether the API
    server that refused may not have known its rules yet.
    """

    def __init__(
        self,
        *,
        status: int,
        reason: str,
        detail: str,
        request: str,
        body: Mapping[str, Any],
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.detail = detail
        self.stage: Stage = stage_of(status, detail)
        self.body = body
        self.retry_after = retry_after
        self.early = False
        super().__init__(
            f"{request}: {status} {reason} at {self.stage}: {detail}", remedy=_REMEDY[self.stage]
        )

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409

    @property
    def gone(self) -> bool:
        """The asked resourceVersion is no longer in the watch cache or the store."""
        return self.status == 410


def stage_of(status: int, detail: str) -> Stage:
    """Where on the apply path a request with this answer died.

    The code alone does not tell: 403 is RBAC as well as quota, 422 schema as well as policy, 500
    a broken store as well as a webhook that cannot be called.
    """
    admission = (
        "admission webhook",
        "failed calling webhook",
        "ValidatingAdmissionPolicy",
        "violates PodSecurity",
        "exceeded quota",
        "failed quota",
        "disruption budget",
    )
    if status == 401:
        return "authentication"
    if any(words in detail for words in admission):
        return "admission"
    if status == 403:
        return "authorization" if " cannot " in detail else "admission"
    # A field that server-side apply does not know comes back as a 500 without a reason.
    unknown_field = "failed to create typed patch object" in detail
    if status in (400, 405, 406, 413, 415, 422) or unknown_field:
        return "validation"
    return "store"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer taken as it is, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        return orjson.loads(self.body)


def error_of(request: str, answer: Answer) -> ApiError:
    """The typed error of an answer; understands Status objects and plain text."""
    try:
        parsed = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        parsed = None
    body: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    retry_after = answer.headers.get("Retry-After", "")
    return ApiError(
        status=answer.status,
        reason=str(body.get("reason") or ""),
        detail=str(body.get("message") or answer.text.strip()[:1000] or "no text"),
        request=request,
        body=body,
        retry_after=float(retry_after) if retry_after.isdigit() else None,
    )
