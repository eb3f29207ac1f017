"""Takes secrets out of what is written down: Secret data, credentials in variables and in URLs.

What was taken out leaves a mark made with a key that is never stored: equal marks were equal
values, so a change still shows, and nobody can try guesses against a mark. A value that was hidden
once where it belongs is hidden in every text after that, such as a log. Imports nothing of ours.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_MARK = re.compile(r"hidden-[0-9a-f]{16}")

# Words of the names of variables and files: long ones count wherever they stand (PGPASSWORD),
# short ones by themselves. Fields of any object are taken more narrowly: many only refer to a
# secret (`secretName`, `key`).
_NAME = re.compile(
    r"passw(or)?d|passphrase|secret|token|credential|authorization|api_?key|access_?key"
    r"|private_?key|(^|_)(pass|pwd|pw|auth|key)(_|$)"
)
_FIELD = re.compile(
    r"passw(or)?d$|passphrase$|token$|(client|api)_secret$|(api|access|private)_key$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")

_USERINFO = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://)(?P<value>[^\s/\"'<>?#]+)(?=@)")
_WORD = r"(?:passw(?:or)?d|passphrase|pwd|secret|token|(?:api|access|private)[_-]?key)"
_VALUE = r"(?P<value>[^\s\"'&;,]+)"
# `password=...` of a DSN, a query or an option, `"password": "..."` of JSON.
_ASSIGNED = re.compile(rf"(?i)(?P<before>{_WORD}(?:=[\"']?|[\"']\s*:\s*[\"'])){_VALUE}")
# In files, also `password: ...`; in prose that would be "token: expired".
_CONFIGURED = re.compile(rf"(?i)(?P<before>{_WORD}[\"']?\s*[:=]\s*[\"']?){_VALUE}")
_HEADER = re.compile(
    rf"(?i)(?P<before>\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+){_VALUE}"
)
_BY_ITSELF = re.compile(
    r"(?P<before>)(?P<value>"
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[pousr]|glpat|xox[abprs])[-_][\w-]{16,})",
    re.DOTALL,
)

_LONG = 1000
"""Longer texts are logs and files: each comes once, so that they are not kept in memory."""
_SHORTEST = 8
"""A shorter value is part of too many innocent words to be looked for in other texts."""
_PLAIN = re.compile(r"[a-z.-]+")


class Redaction:
    """`of` a JSON value is the same value without its secrets; doing it twice changes nothing.

    Marks of different keys cannot be compared.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self.key = key if key is not None else secrets.token_bytes(32)
        self._aside = b""
        # Only ever added to, also while another thread looks through it.
        self._known: list[str] = []
        self._short = lru_cache(maxsize=16384)(self._looked_through)

    def of(self, value: Any, *, aside: str = "") -> Any:
        """A copy without secrets. `aside` (the trial's id, which ends names of namespaces) is no
        part of what marks tell apart, so that variants can be compared."""
        if not aside:
            return self._of(value)
        other = Redaction(self.key)
        other._known, other._aside = self._known, aside.encode()
        return other._of(value)

    def _of(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is dict or isinstance(value, Mapping):
            return self._mapping(value)
        return self._list(value) if kind is list or kind is tuple else value

    def _mapping(self, value: Mapping[str, Any]) -> dict[str, Any]:
        kind = value.get("kind")
        if kind in ("Secret", "ConfigMap"):
            return self._files(value, secret=kind == "Secret")
        named = value.get("name") if "value" in value else None
        out: dict[str, Any] = {}
        for key, inner in value.items():
            if type(inner) is not str:
                out[key] = self._of(inner)
            elif key == "value" and isinstance(named, str):
                out[key] = self._named(named, inner)
            elif isinstance(key, str) and _field_is_secret(key):
                out[key] = self._hidden(inner)
            else:
                out[key] = self._text(inner)
        return out

    def _files(self, value: Mapping[str, Any], *, secret: bool) -> dict[str, Any]:
        """A Secret or a ConfigMap; both also name what holds other things (`kind: Secret`)."""
        out: dict[str, Any] = {}
        for key, inner in value.items():
            if key not in ("data", "stringData", "binaryData") or not isinstance(inner, Mapping):
                out[key] = self._of(inner)
            elif secret:
                coded = key == "data"
                out[key] = {k: self._whole(k, str(v), coded=coded) for k, v in inner.items()}
            else:
                out[key] = {k: self._named(k, str(v), file=True) for k, v in inner.items()}
        return out

    def _list(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        out: list[Any] = []
        option = ""
        for each in value:
            is_text = type(each) is str
            # `--password`, and what it is in the next word.
            hide = is_text and option.startswith("-")
            out.append(self._named(option, each) if hide else self._of(each))
            option = each if is_text and "=" not in each else ""
        return out

    def _named(self, name: str, text: str, *, file: bool = False) -> str:
        """A text with a name: the value of a variable, or a file of a ConfigMap."""
        if text and _name_is_secret(name):
            return self._hidden(text)
        if text in self._known:
            return self._mark(text)
        self._learn(text)
        return self._text(_CONFIGURED.sub(self._match, text) if file else text)

    def _text(self, text: str) -> str:
        look = self._short if len(text) < _LONG else self._looked_through
        return look(text, len(self._known))

    def _looked_through(self, text: str, known: int) -> str:
        """`known` many values were known: an answer that was kept in mind is good for as many."""
        if text[:1] in ("{", "["):
            with contextlib.suppress(ValueError, RecursionError):
                found = json.loads(text)
                hidden = self._of(found)
                # As it was written, unless something had to be hidden.
                return text if hidden == found else json.dumps(hidden)
        text = _BY_ITSELF.sub(self._match, text)
        if "@" in text and "://" in text:
            text = _USERINFO.sub(self._match, text)
        if "=" in text or ":" in text:
            text = _ASSIGNED.sub(self._match, text)
        if " " in text or "\n" in text:
            text = _HEADER.sub(self._match, text)
            for value in self._known[:known]:
                if value in text:
                    text = text.replace(value, self._mark(value))
        return text

    def _match(self, found: re.Match[str]) -> str:
        value = found["value"]
        return found[0] if _MARK.fullmatch(value) else found["before"] + self._mark(value)

    def _whole(self, name: str, text: str, *, coded: bool) -> str:
        """A value of a Secret; base64 is looked into, so it equals its plain text."""
        if coded:
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                plain = base64.b64decode(text, validate=True).decode()
                text = plain
        return self._hidden(text, sure=_name_is_secret(name))

    def _hidden(self, text: str, *, sure: bool = True) -> str:
        """The mark of a value that is one as a whole. `sure`: no user name, host or database,
        which other texts are full of."""
        if not text or _MARK.fullmatch(text):
            return text
        if sure or not _PLAIN.fullmatch(text):
            self._remember(text)
        self._learn(text)
        return self._mark(text)

    def _learn(self, text: str) -> None:
        """Remembers the credentials in a connection string or a file."""
        for pattern in (_USERINFO, _CONFIGURED):
            for found in pattern.finditer(text):
                self._remember(found["value"].rpartition(":")[2])

    def _remember(self, value: str) -> None:
        if len(value) < _SHORTEST or value in self._known or _MARK.search(value):
            return
        self._known += [value, base64.b64encode(value.encode("utf-8", "replace")).decode()]

    def _mark(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        if self._aside:
            data = data.replace(self._aside, b"")
        return f"hidden-{hmac.new(self.key, data, hashlib.sha256).hexdigest()[:16]}"


@lru_cache(maxsize=4096)
def _name_is_secret(name: str) -> bool:
    return _NAME.search(_CAMEL.sub("_", name).lower()) is not None


@lru_cache(maxsize=4096)
def _field_is_secret(name: str) -> bool:
    return _FIELD.search(_CAMEL.sub("_", name).lower()) is not None


_of_this_run = Redaction()


def redacted(value: Any, *, aside: str = "") -> Any:
    """`Redaction.of` with the key of this run, which lives as long as its processes."""
    return _of_this_run.of(value, aside=aside)


def key_of_this_run() -> str:
    """For another process of the same run, handed over in memory; never to be written down."""
    return _of_this_run.key.hex()


def join_run(key: str) -> None:
    """Make the marks that another process of this run makes."""
    global _of_this_run
    _of_this_run = Redaction(bytes.fromhex(key))
