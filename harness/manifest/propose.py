"""A `harness.toml` for manifests that the harness has never seen, every guess explained in it.

Pure text making; the guesses are in `harness.manifest.guess`, finding the manifests and writing the
file in `harness.commands.init`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from harness.manifest.guess import Guess, guess_roles
from harness.manifest.images import images
from harness.manifest.objects import Object, namespace_of

_ORDER = ("protocol", "secret", "user", "user_key", "password_key", "dbname")


def propose(
    objects: Sequence[Object],
    *,
    name: str,
    manifests: Sequence[str],
    builds: Mapping[str, str] | None = None,
    spare: Sequence[str] = (),
) -> str:
    """The text of a `harness.toml`.

    `manifests` are paths relative to it, `builds` maps images that a Dockerfile beside the
    manifests seems to make to its folder, `spare` are folders whose Dockerfile fits no image. What
    cannot be guessed is left as a comment that says what to write.
    """
    guesses = guess_roles(objects)
    made = dict(builds or {})
    needed = [image for image in images(objects) if image not in made]
    parts = [
        _subject(objects, name, manifests, needed),
        *(_build(image, folder) for image, folder in made.items()),
        *(_spare(folder, needed[0]) for folder in spare if needed),
        _roles([guess for guess in guesses if not guess.extra], guesses),
        *(_dependency(guess) for guess in guesses if guess.extra),
        _LOAD,
        _OBJECTIVES,
    ]
    return "\n".join(parts)


def _subject(
    objects: Sequence[Object], name: str, manifests: Sequence[str], needed: Sequence[str]
) -> str:
    lines = ["[subject]", f"name = {_text(name)}"]
    paths = ", ".join(map(_text, manifests))
    lines.append(f"manifests = {paths if len(manifests) == 1 else f'[{paths}]'}")
    written = Counter(namespace for obj in objects if (namespace := namespace_of(obj)))
    if written:
        namespace, times = written.most_common(1)[0]
        lines.append(f"# the namespace that {times} of {len(objects)} objects name")
        lines.append(f"namespace = {_text(namespace)}")
    if needed:
        lines.append("# taken from the local container engine; build or pull them there first")
        lines.append(f"images = [{', '.join(map(_text, needed))}]")
    return "\n".join(lines) + "\n"


def _build(image: str, folder: str) -> str:
    return (
        f"# guessed: the image is called like the folder {folder}, which has a Dockerfile\n"
        f"[build.{_text(image)}]\ncontext = {_text(folder)}\n"
    )


def _spare(folder: str, image: str) -> str:
    return (
        f"# {folder} has a Dockerfile, too. To build one of the images above from it, take that\n"
        f"# image out there and write:\n# [build.{_text(image)}]\n# context = {_text(folder)}\n"
    )


def _roles(plain: Sequence[Guess], every: Sequence[Guess]) -> str:
    lines = ["[roles]"]
    for guess in plain:
        lines += [f"# guessed: {guess.because}", f"{guess.role} = {_text(str(guess.ref))}"]
    bound = {guess.role for guess in every}
    if "entry" not in bound:
        lines += ["# not found: the Service that clients call", '# entry = "Service/my-app:8080"']
    if "workload" not in bound:
        lines += ["# not found: what is under test", '# workload = "Deployment/my-app"']
    if "database" not in bound:
        lines += [
            "# not found: a database; faults on dependencies need one (any TCP service will do)",
            '# database = "Service/my-database:5432"',
        ]
    return "\n".join(lines) + "\n"


def _dependency(guess: Guess) -> str:
    lines = [f"# guessed: {guess.because}", f"[roles.{guess.role}]"]
    lines.append(f"service = {_text(f'{guess.ref.name}:{guess.ref.port}')}")
    lines += [f"{key} = {_text(guess.extra[key])}" for key in _ORDER if key in guess.extra]
    return "\n".join(lines) + "\n"


_LOAD = """\
[load]
# requests per second, about what one expects of the application on a small machine
rate = 20
timeout = "10s"

[load.endpoints]
# "METHOD /path" = weight; name what your users call, not a health check
"GET /" = 1
"""
_OBJECTIVES = """\
[objectives]
# share of requests that must succeed once a fault is over; while it lasts, too:
# availability = { at_least = 0.99, during = "all" }
availability = 0.99
# how many container restarts a fault may cause, beside those that are its only cure
restarts = 0
# how soon after a fault all must be well again; "readiness" is what your probes declare
recovery = "readiness + 5s"
"""


def _text(value: str) -> str:
    """A TOML basic string (JSON's escapes are TOML's)."""
    return json.dumps(value, ensure_ascii=False)
