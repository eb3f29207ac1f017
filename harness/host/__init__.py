"""This machine: its processes, its container engine, its Go programs, its CPU, and what it reports.

Knows nothing of Kubernetes."""
