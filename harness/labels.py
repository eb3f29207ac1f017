"""What the harness writes on everything of its own, so that it knows it again: one domain."""

from __future__ import annotations

from collections.abc import Mapping

DOMAIN = "resilience-harness.dev"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "resilience-harness"
TRIAL = f"{DOMAIN}/trial"
# The domain of versions before this one: what they left is still healed.
_EARLIER = "resilience-harness"


def of_trial(trial: str) -> dict[str, str]:
    """The labels of an object that a trial made."""
    return {MANAGED_BY: MANAGER, TRIAL: trial}


def spellings(key: str) -> tuple[str, str]:
    """A key of ours, as it is written and as an earlier version wrote it."""
    return key, key.replace(DOMAIN, _EARLIER)


def value(written: Mapping[str, str] | None, key: str) -> str | None:
    """What stands under a key of ours in an object's labels or annotations, however it is spelt."""
    return next((found for each in spellings(key) if (found := (written or {}).get(each))), None)
