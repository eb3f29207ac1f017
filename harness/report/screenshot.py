"""A picture of a report, made by a headless Chromium of the machine: for the README."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from harness.errors import HostError, UsageError
from harness.host.commands import output

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT_S = 60


def screenshot(page: Path, picture: Path, *, size: str = "1440x1800", theme: str = "light") -> None:
    """Write a PNG of the top of `page`; `size` is "WIDTHxHEIGHT" in pixels.

    Raises UsageError for a size or theme that is none, HostError without a browser.
    """
    if not re.fullmatch(r"[1-9]\d{2,3}x[1-9]\d{2,3}", size):
        raise UsageError(f"size {size!r} is no size", remedy="give pixels such as 1440x1800")
    if theme not in ("light", "dark"):
        raise UsageError(f"theme {theme!r} is neither light nor dark", remedy="give one of them")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise HostError(
            f"no browser to take a screenshot with ({', '.join(BROWSERS)})",
            remedy="install one: apt-get install -y --no-install-recommends chromium",
        )
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser,
            "--headless",
            # In a container as root there is no sandbox; the page is our own and makes no request.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            f"--window-size={size.replace('x', ',')}",
            f"--screenshot={picture.resolve()}",
            f"{page.resolve().as_uri()}#theme={theme}",
        ]
        output(command, timeout=TIMEOUT_S)
    if not picture.is_file():
        raise HostError(
            f"{browser} made no screenshot",
            remedy="open the report in a browser and take the picture by hand",
        )
