"""`report.json`: the report's data as such, for machines (schema: docs/report.schema.json).

`python -m harness.report.json_report > docs/report.schema.json` writes the schema anew.
"""

from __future__ import annotations

import sys

import orjson

from harness.report.model import Report


def render(report: Report) -> bytes:
    """The report as indented JSON; keys as in the schema."""
    return orjson.dumps(report.model_dump(mode="json", by_alias=True), option=orjson.OPT_INDENT_2)


def schema() -> bytes:
    """The JSON Schema (2020-12) of `report.json`."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Report.model_json_schema(by_alias=True, mode="serialization"),
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(schema())
