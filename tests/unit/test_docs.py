"""The pages for authors show files of this repository, which other tests run, as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r'^```\w+ title="(?P<file>[^"]+)"\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("page", "files"), [("adding-a-fault.md", 1), ("adding-a-scenario.md", 5)])
def test_what_a_page_shows_is_what_stands_in_the_file(page: str, files: int) -> None:
    shown = list(SHOWN.finditer((ROOT / "docs" / page).read_text()))
    assert len(shown) == files
    for each in shown:
        assert each["text"] == (ROOT / each["file"]).read_text(), each["file"]
