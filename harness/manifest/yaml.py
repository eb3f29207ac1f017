"""YAML text to objects and back, read the way `kubectl` reads it.

Python's usual loader would turn `2024-01-01` into a date and `22:30` into 1350, and would let the
second of two equal keys win without a word. Reading files is in `harness.images.render`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Any

import yaml

from harness.errors import ManifestError
from harness.manifest.objects import Object

_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|(?:0|[1-9][0-9_]*))$")
_FLOAT = re.compile(
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_REPLACED = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}


class _Loader(yaml.SafeLoader):
    """Without dates and base-60 numbers; equal keys are an error."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's own way to configure a loader
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key_node.tag == "tag:yaml.org,2002:str" and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key "{key}" is there twice', key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else None)
        return super().construct_mapping(node, deep)

    def construct_octal_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node).replace("0o", "0")
        return int(self.construct_yaml_int(yaml.ScalarNode(node.tag, text, node.start_mark)))


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_octal_int)
yaml.add_constructor(
    "tag:yaml.org,2002:value", lambda _, node: node.value, Loader=_Loader
)  # a lone "="


def load_all(text: str, source: str = "the input") -> list[Object]:
    """Every object of a multi-document text; members of a `List` come one by one.

    Empty documents are left out. Raises `ManifestError` that names `source` and the line for text
    that is no YAML, and for documents that are no Kubernetes objects.
    """
    objects: list[Object] = []
    try:
        for document in yaml.load_all(text, Loader=_Loader):
            if document is not None:
                objects += _members(document, source)
    except yaml.YAMLError as error:
        raise ManifestError(
            f"{source} is no valid YAML: {_where(error)}",
            remedy="correct the file at that line (indentation, quotes, a key written twice)",
        ) from error
    return objects


def _members(document: Any, source: str) -> list[Object]:
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        shape = f"keys {sorted(map(str, document))}" if isinstance(document, dict) else "no mapping"
        raise ManifestError(
            f"{source} holds something that is no Kubernetes object ({shape})",
            remedy="every document needs apiVersion and kind; keep other YAML files "
            "(values, settings) out of the manifests folder, or list the manifests one by one",
        )
    if document["kind"] == "List" or (
        str(document["kind"]).endswith("List") and isinstance(document.get("items"), list)
    ):
        return [obj for each in document.get("items") or [] for obj in _members(each, source)]
    return [document]


def _where(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        return f"{place}{error.problem or error.context}"
    return str(error)


class _Dumper(yaml.SafeDumper):
    """Lists indented under their key and texts of several lines as blocks, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    looks_like_a_number = _INT.match(value) or _FLOAT.match(value)
    style = "|" if "\n" in value else "'" if looks_like_a_number else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump_all(objects: Iterable[Object]) -> str:
    """Objects as a multi-document text that `load_all` and `kubectl` read back unchanged."""
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
