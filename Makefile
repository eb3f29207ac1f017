# Everything from a bare machine: `make demo` shows a verdict, `make test` proves the harness.
# Each target sets up what it needs first; what is there already is found in seconds.
.DEFAULT_GOAL := help
.PHONY: demo test suite storage lint docs unit property mutants trust bench setup venv lock clean help

harness := .venv/bin/harness
pytest := .venv/bin/python -m pytest
# One report per tier; the tiers of a real cluster share the one that `setup` left warm.
reports := harness-runs/junit

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## The Python environment, from requirements.lock
	@scripts/make-venv

setup: venv ## Engine, kind, node image, registry, sample images
	@$(harness) setup

demo: setup ## Four faults on two applications, fragile and hardened, and the verdicts
	@$(harness) demo

suite: setup ## Every scenario, every variant
	@$(harness) run

test: setup ## Lint, then every tier of tests; non-zero when anything fails
	@scripts/test-tiers $(reports)

storage: setup ## The storage add-on's own tests, on a cluster of four nodes
	@$(pytest) tests/storage

lint: venv ## Format, lint, types, layers, the reference page
	@scripts/lint

docs: venv ## Make the reference page from the docstrings, and the schema of the report
	@.venv/bin/python -m harness.authoring.reference > docs/reference.md
	@.venv/bin/python -m harness.report.json_report > docs/report.schema.json

unit: venv ## The fast tests, no cluster
	@$(pytest) tests/unit

property: venv ## Ten thousand seeds of defects in good trials: no verdict by accident
	@PROPERTY_EXAMPLES=10000 $(pytest) tests/unit/test_no_green_by_accident.py

mutants: venv ## Defects planted in the core: each must be killed by the tests that it names
	@.venv/bin/python tests/mutants/score.py

trust: setup ## SIGKILL at random moments on a real cluster (KILLS=20 SEED=...): nothing may be left
	@.venv/bin/python tests/trust/trust.py

bench: setup ## Figures: where a run's time went, load held, recording, judging, cluster start, memory
	@.venv/bin/python -m harness.bench.trials
	@.venv/bin/python -m harness.bench.load
	@.venv/bin/python -m harness.bench.judge
	@.venv/bin/python -m harness.bench.storm
	@.venv/bin/python -m harness.bench.cluster_up
	@.venv/bin/python -m harness.bench.memory

lock: venv ## Write requirements.lock anew from pyproject.toml
	@scripts/lock

clean: ## Remove clusters, the private engine, caches and the Python environment
	@scripts/clean
