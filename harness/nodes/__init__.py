"""Commands inside the nodes of a cluster, and what is read there: cgroups, the audit log."""
