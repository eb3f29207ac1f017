"""Reading `harness.toml`, with errors that name the file, the key and the remedy.

The only I/O is reading that file and looking whether the paths in it exist; rendering the manifests
is in `harness.images.render`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import ManifestError
from harness.manifest.objects import did_you_mean
from harness.manifest.subject_file import (
    FILE,
    AvailabilityBound,
    Build,
    Endpoint,
    LatencyBound,
    LoadTable,
    ObjectivesTable,
    Role,
    SubjectFile,
    SubjectTable,
)


def load_subject(directory: Path) -> SubjectFile:
    """Read `directory/harness.toml` (or that file itself).

    Raises `ManifestError` that names the file, each wrong key and what to write.
    """
    path = directory / FILE if directory.is_dir() else directory
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(
            f"{path} is not there", remedy=f"write one with: harness init {path.parent}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path} cannot be read: {error}", remedy="make it a readable UTF-8 text file"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(
            f"{path} is no valid TOML: {error}", remedy="correct it at that line and column"
        ) from error
    return parse_subject(data, path)


def parse_subject(data: Mapping[str, Any], path: Path) -> SubjectFile:
    """The models of a parsed file whose place is `path`; raises as `load_subject` does."""
    directory = path.parent.resolve()
    try:
        found = SubjectFile.model_validate(
            {**_with_defaults(data, directory), "directory": directory}
        )
    except ValidationError as error:
        raise _explained(error, path) from error
    except ManifestError as error:
        raise ManifestError(f"{path}: {error.message}", remedy=error.remedy) from error
    return _placed(found, path)


def _with_defaults(data: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    subject = data.get("subject")
    if not isinstance(subject, dict):
        return dict(data)
    subject = dict(subject)
    fallback = re.sub(r"[^a-z0-9]+", "-", directory.name.lower()).strip("-") or "subject"
    subject.setdefault("name", fallback)
    subject.setdefault("namespace", subject["name"])
    if isinstance(subject.get("manifests"), str):
        subject["manifests"] = [subject["manifests"]]
    return {**data, "subject": subject}


def _placed(found: SubjectFile, path: Path) -> SubjectFile:
    """With absolute paths, each of which exists."""

    def at(key: str, relative: Path) -> Path:
        absolute = found.directory / relative
        if not absolute.exists():
            raise ManifestError(
                f'{path}: {key} = "{relative}" is not there',
                remedy=f"correct the path; it is relative to {found.directory}",
            )
        return absolute

    subject = found.subject
    manifests = tuple(at("subject.manifests", each) for each in subject.manifests)
    variants = at("subject.variants", subject.variants) if subject.variants else None
    script = at("load.locustfile", found.load.locustfile) if found.load.locustfile else None
    build = {
        image: each.model_copy(update={"context": at(f'build."{image}".context', each.context)})
        for image, each in found.build.items()
    }
    return found.model_copy(
        update={
            "subject": subject.model_copy(update={"manifests": manifests, "variants": variants}),
            "load": found.load.model_copy(update={"locustfile": script}),
            "build": build,
        }
    )


def _explained(error: ValidationError, path: Path) -> ManifestError:
    lines, remedies = [], []
    for each in error.errors(include_url=False):
        key = ".".join(str(part) for part in each["loc"]) or "the file"
        if each["type"] == "extra_forbidden":
            known = _known_keys(tuple(str(part) for part in each["loc"][:-1]))
            guess = did_you_mean(str(each["loc"][-1]), known)
            lines.append(f"{key}: no such key")
            remedies.append(f"{key}: {guess or 'known keys: ' + ', '.join(known)}")
        elif each["type"] == "missing":
            lines.append(f"{key}: missing")
            remedies.append(f"{key}: add it (see the example in the README, or harness init)")
        elif each["type"] == "literal_error":
            choices = re.findall(r"'([^']+)'", each["ctx"]["expected"])
            lines.append(f'{key}: "{each["input"]}" is not known')
            guess = did_you_mean(str(each["input"]), choices)
            remedies.append(f"{key}: {guess or ', '.join(choices)}")
        else:
            message = each["msg"].removeprefix("Value error, ").replace("Input", "it", 1)
            lines.append(f"{key}: {message}")
            remedies.append(f"{key}: correct the value {each['input']!r}")
    return ManifestError(f"{path}: " + "; ".join(lines), remedy="; ".join(remedies))


def _known_keys(loc: tuple[str, ...]) -> list[str]:
    table = _TABLES[max((t for t in _TABLES if t == loc[: len(t)]), key=len)]
    known = list(table.model_fields)
    if table is SubjectFile:
        known.remove("directory")
    return known + (["service"] if table is Role else [])


_TABLES: dict[tuple[str, ...], type[BaseModel]] = {
    (): SubjectFile,
    ("subject",): SubjectTable,
    ("build",): Build,
    ("roles",): Role,
    ("load",): LoadTable,
    ("load", "endpoints"): Endpoint,
    ("objectives",): ObjectivesTable,
    ("objectives", "availability"): AvailabilityBound,
    ("objectives", "p99"): LatencyBound,
}
"""The models by the place of their table in the file."""
