"""Programs of the harness that a cluster carries for some faults, such as the CSI driver."""
