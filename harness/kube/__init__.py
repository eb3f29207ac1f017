"""The Kubernetes API, and nothing of the harness's own: client, watches, exec, logs, waiting."""
