"""The pytest plugin: options, scenarios as items, fixtures for authors, hooks."""
