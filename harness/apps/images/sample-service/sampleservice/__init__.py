"""The sample services: checkout-api, checkout-worker and payment-service.

An ordinary small web application: pooled PostgreSQL connections, one query per request, probe
paths, metrics, a clean shutdown. What makes it a sample subject is that everything a scenario
wants to vary is a setting (`settings`), and that a few things can be broken while it runs, through
an admin port that no Service exposes (`admin`, `knobs`). Nothing in here knows of the harness.
"""
