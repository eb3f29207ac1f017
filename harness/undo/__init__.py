"""What was changed, and how it is undone: the ledger, healing, the baseline of a cluster."""
