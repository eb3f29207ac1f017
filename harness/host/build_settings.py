"""What image builds must know of this machine: mirrors, pip settings, certificates, proxies.

All of it is handed to a build as secrets, contexts and proxy arguments, which leave no trace in
an image. Nothing here names a host: each value is read from the machine's own configuration.
"""

from __future__ import annotations

import configparser
import io
import os
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

from harness.host import apt
from harness.host.commands import output
from harness.host.files import private_folder

_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# Settings of pip that say where packages come from; the rest (caches, prompts) is not a build's.
_PIP_SETTINGS = (
    "index-url",
    "extra-index-url",
    "no-index",
    "trusted-host",
    "proxy",
    "timeout",
    "retries",
)
CA_IN_IMAGE = "/etc/ssl/certs/ca-certificates.crt"
WHEELS_IN_IMAGE = "/run/wheels"


def pip_settings(listing: str) -> dict[str, str]:
    """`pip config list` as one mapping; the environment's value wins over a file's."""
    found: dict[str, str] = {}
    from_env: dict[str, str] = {}
    for line in listing.splitlines():
        key, separator, value = line.partition("=")
        if not separator:
            continue
        section, _, name = key.rpartition(".")
        target = from_env if section == ":env:" else found
        target[name] = value.strip().strip("'\"").replace("\\n", "\n")
    return {**found, **from_env}


def pip_conf(settings: dict[str, str], *, wheels: bool, ca: bool) -> str:
    """A pip.conf for inside an image, from the host's settings."""
    parser = configparser.RawConfigParser()
    parser.add_section("global")
    for name in _PIP_SETTINGS:
        if settings.get(name):
            parser.set("global", name, settings[name])
    links = [link for link in settings.get("find-links", "").split() if urlsplit(link).netloc]
    if wheels:
        links.append(WHEELS_IN_IMAGE)
    if links:
        parser.set("global", "find-links", "\n" + "\n".join(links))
    if ca:
        parser.set("global", "cert", CA_IN_IMAGE)
    parser.set("global", "disable-pip-version-check", "true")
    parser.set("global", "no-cache-dir", "true")
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def wheel_folder(settings: dict[str, str]) -> Path | None:
    """The first local folder that pip is told to look for wheels in, if it has any."""
    for link in settings.get("find-links", "").split():
        path = Path(link.removeprefix("file://"))
        if path.is_dir() and any(path.glob("*.whl")):
            return path
    return None


def ca_bundle() -> Path | None:
    """The certificates that this machine trusts, which may hold a company's own."""
    named = (os.environ.get(name) for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
    for candidate in [*named, ssl.get_default_verify_paths().cafile, CA_IN_IMAGE]:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None


def apt_sources(suite: str) -> str:
    """deb822 sources of a Debian `suite` from the host's mirrors; empty if they have none."""
    if apt.os_release().get("ID") != "debian" or not apt.is_debian():
        return ""
    codename = apt.os_release().get("VERSION_CODENAME", "")
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    return apt.deb822(
        [
            apt.Source(
                uri=source.uri,
                suite=source.suite.replace(codename, suite),
                component=source.component,
                signed_by=keyring,
            )
            for source in apt.host_sources()
            if source.component == "main" and source.suite.startswith(codename)
        ]
    )


def build_words(folder: Path) -> list[str]:
    """Arguments for `docker build` that carry this machine's settings, written under `folder`.

    Secrets: `apt-bookworm`, `apt-trixie` (deb822 sources), `pip` (pip.conf), `ca` (PEM bundle).
    A named context `wheels` (mount it at `/run/wheels`) holds the host's own wheels, or nothing.
    """
    private_folder(folder)
    listing = output([sys.executable, "-m", "pip", "config", "list"], check=False)
    settings, ca = pip_settings(listing), ca_bundle()
    wheels = wheel_folder(settings)
    texts = {
        "apt-bookworm": apt_sources("bookworm"),
        "apt-trixie": apt_sources("trixie"),
        "pip": pip_conf(settings, wheels=wheels is not None, ca=ca is not None),
    }
    words = ["--network=host"]
    for name, text in texts.items():
        if text:
            (folder / name).write_text(text)
            words += ["--secret", f"id={name},src={folder / name}"]
    if ca is not None:
        words += ["--secret", f"id=ca,src={ca}"]
    empty = folder / "no-wheels"
    empty.mkdir(exist_ok=True)
    words += ["--build-context", f"wheels={wheels or empty}"]
    words += [word for name in _PROXIES if name in os.environ for word in ("--build-arg", name)]
    return words
