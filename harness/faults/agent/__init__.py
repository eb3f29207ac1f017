"""The harness's own pod: this runs inside the cluster, with no part of the harness beside it."""
