"""Debian packages without touching the machine: a private apt configuration beside the real one.

Sources, keys and proxies come from the host's own apt configuration; lists, archives and
preferences live in a folder of ours. What is downloaded is unpacked with `dpkg -x`, never
installed. Which packages are wanted, and what runs from them, is not decided here.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HostError
from harness.host.commands import output
from harness.host.progress import Step

_COMPONENTS = ("main", "universe", "restricted")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One line of the host's apt configuration, as far as it matters here."""

    uri: str
    suite: str
    component: str
    signed_by: str = ""


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """`/etc/os-release` as a mapping; empty where there is none."""
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def is_debian() -> bool:
    """True on Debian, Ubuntu and their children that carry apt."""
    release = os_release()
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    return bool(family & {"debian", "ubuntu"}) and shutil.which("apt-get") is not None


def parse_targets(text: str) -> list[tuple[Source, str]]:
    """Sources and the `file:line` each stands in, from the output of `apt-get indextargets`."""
    found: list[tuple[Source, str]] = []
    for stanza in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " "
        )
        if fields.get("Created-By") != "Packages":
            continue
        uri, suite = fields.get("Repo-URI", ""), fields.get("Release", "")
        if uri and suite:
            source = Source(
                uri=uri,
                suite=suite,
                component=fields.get("Component", "main"),
                signed_by=fields.get("Signed-By", ""),
            )
            found.append((source, fields.get("Sourcesentry", "")))
    return found


def signed_by(entry: str) -> str:
    """The keyring that a `file:line` of the apt sources names; empty for apt's default trust."""
    name, _, number = entry.rpartition(":")
    path = Path(name)
    if not path.is_file() or not number.isdigit():
        return ""
    lines = path.read_text().splitlines()
    if path.suffix == ".sources":
        stanza = "\n".join(lines[int(number) - 1 :]).split("\n\n", 1)[0]
        match = re.search(r"(?im)^signed-by:\s*(/\S+)", stanza)
    else:
        match = re.search(r"signed-by=(/[^\]\s]+)", lines[int(number) - 1])
    return match.group(1) if match else ""


def host_sources() -> list[Source]:
    """The distribution's own archives as this machine is configured to reach them."""
    codename = os_release().get("VERSION_CODENAME", "")
    aliases = {codename, "stable", "oldstable"}
    sources = []
    for source, entry in parse_targets(output(["apt-get", "indextargets"])):
        if source.component in _COMPONENTS and source.suite.split("-")[0] in aliases:
            key = source.signed_by or signed_by(entry)
            sources.append(
                Source(
                    uri=source.uri, suite=source.suite, component=source.component, signed_by=key
                )
            )
    if not sources:
        raise HostError(
            "apt has no source of this distribution's own packages",
            remedy="restore the distribution's entry in /etc/apt and run `apt-get update` once",
        )
    return sources


def of_suite(sources: Sequence[Source], suite: str) -> Source:
    """The same main archive, another release: `suite` in place of the host's."""
    main = next(s for s in sources if s.component == "main" and "-" not in s.suite)
    return Source(uri=main.uri, suite=suite, component=main.component, signed_by=main.signed_by)


def deb822(sources: Sequence[Source]) -> str:
    """The sources in apt's own format."""
    stanzas = []
    for source in dict.fromkeys(sources):
        lines = ["Types: deb", f"URIs: {source.uri}", f"Suites: {source.suite}"]
        lines.append(f"Components: {source.component}")
        if source.signed_by:
            lines.append(f"Signed-By: {source.signed_by}")
        stanzas.append("\n".join(lines) + "\n")
    return "\n".join(stanzas)


class PrivateApt:
    """apt with lists, archives and preferences under `folder`; the machine's stay as they are."""

    def __init__(self, folder: Path, *, sources: Sequence[Source], preferences: str = "") -> None:
        self.folder = folder
        for name in ("etc/sources.d", "etc/preferences.d", "state/lists/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.archives.joinpath("partial").mkdir(parents=True, exist_ok=True)
        (folder / "etc/sources.d/harness.sources").write_text(deb822(sources))
        (folder / "etc/preferences.d/harness").write_text(preferences)
        options = {
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": folder / "etc/sources.d",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": folder / "etc/preferences.d",
            "Dir::State": folder / "state",
            "Dir::State::status": "/var/lib/dpkg/status",
            "Dir::Cache": folder / "cache",
            "Dir::Log": folder,
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "APT::Get::Assume-Yes": "true",
            "APT::Install-Recommends": "false",
            # As root apt hands downloads to the user _apt, who cannot enter a private folder.
            "APT::Sandbox::User": "root",
        }
        self._options = [word for k, v in options.items() for word in ("-o", f"{k}={v}")]

    @property
    def archives(self) -> Path:
        """Where downloaded .deb files stand."""
        return self.folder / "cache/archives"

    def command(self, program: str, *words: str) -> list[str]:
        """`program` (apt-get, apt-cache) under the private configuration."""
        return [program, *self._options, *words]

    def unpack(self, packages: Sequence[str], target: Path, step: Step) -> None:
        """Download `packages` and every dependency that the host lacks; unpack all to `target`.

        Call `update` first.
        """
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for old in self.archives.glob("*.deb"):
            old.unlink()
        step.run(self.command("apt-get", "install", "--download-only", *packages), env=env)
        target.mkdir(parents=True, exist_ok=True)
        for archive in sorted(self.archives.glob("*.deb")):
            step.run(["dpkg", "-x", archive, target])
            archive.unlink()

    def update(self, step: Step) -> None:
        """Fetch the package lists."""
        step.run(
            self.command("apt-get", "update"),
            remedy="make this machine's own `apt-get update` work, then run the same command again",
        )

    def has(self, package: str) -> bool:
        """True when the sources offer `package`; call after `update`."""
        return "Package: " in output(self.command("apt-cache", "show", package), check=False)
