"""Hooks that the pytest plugin offers to conftest files and other plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.runs.catalog import Found
    from harness.runs.options import Options, TrialEnd


@pytest.hookspec(firstresult=True)
def pytest_harness_trial(
    item: pytest.Item, found: Found, variant: str, options: Options
) -> TrialEnd | None:
    """Run one variant of one scenario; the first implementation that returns an end decides.

    The plugin's own runs the trial on the cluster. An implementation in a conftest may, for
    example, give a recorded result instead: the harness tests its own reporting in this way.
    """
