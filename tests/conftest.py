"""For every tier of tests."""

from __future__ import annotations

# pytest's own tool for testing plugins; only the top conftest may ask for it.
pytest_plugins = ["pytester"]
