"""The files of a run's folder and of its trials' folders, by name; see `docs/history.md`."""

from __future__ import annotations

RUN_FILE = "run.json"
HTML_FILE = "report.html"
JSON_FILE = "report.json"
JUNIT_FILE = "junit.xml"
TRIAL_FILE = "trial.json"
VERDICT_FILE = "verdict.json"
MANIFESTS_FILE = "manifests/objects.json"
HISTORY_FILE = "history.jsonl"
REQUESTS_FILE = "requests.jsonl"
