"""Files that are there whole or not at all, and writing that notices a full disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from harness.errors import HostError
from harness.redaction import redacted


def private_folder(path: Path) -> None:
    """Make a folder that only its user can look into, with all that will be in it.

    So what is below may have any mode: files for images and nodes keep theirs. Folders above it
    that are not there yet are made like it. Raises HostError.
    """
    made = [path, *(above for above in path.parents if not above.exists())]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for each in made:
            each.chmod(0o700)
    except OSError as error:
        raise HostError(
            f"{path} cannot be made a folder of this user alone: {error}",
            remedy="make it yours and writable, or point HARNESS_HOME (--output) at another one",
        ) from error


def write_all(descriptor: int, data: bytes) -> None:
    """Every byte; `os.write` alone may take fewer and say so only in what it returns.

    Raises OSError with a part of the data written.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file, on the disk when this returns: no reader and no power cut meets half of it.

    Raises HostError; the file is then as it was.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("wb", buffering=0) as file:
                write_all(file.fileno(), data)
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise HostError(
            f"{path} cannot be written: {error}",
            remedy="free disk space, or choose another disk (--output, HARNESS_HOME)",
        ) from error


def write_json(path: Path, data: Any) -> None:
    """`write_whole` of JSON without its secrets; what JSON does not know becomes its `str`."""
    write_whole(path, orjson.dumps(redacted(data), option=orjson.OPT_INDENT_2, default=str))


def sync_folder(folder: Path) -> None:
    """Let the names in a folder reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
